//! Many channels into one.

use symphonia::core::audio::{Channels, Position};

/// What each channel weighs in the mix.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LayoutWeights {
    weights: Vec<f32>, // [n_channels]
}

impl LayoutWeights {
    /// Weights for channels at known places, as ffmpeg mixes to mono: left and right 3 dB, surround 6 dB below
    /// the centre, no low-frequency effects, scaled so that nothing overflows. Stereo becomes the mean.
    ///
    /// Channels without known places become their mean.
    ///
    /// Source: `auto_matrix` in FFmpeg `libswresample/rematrix.c`.
    pub(super) fn new(places: Option<Vec<Position>>, n_channels: usize) -> Self {
        let places = places.filter(|places| places.len() == n_channels).unwrap_or_default();
        let mut weights: Vec<f32> = places.iter().map(|&place| weight(place)).collect();
        let total: f32 = weights.iter().sum();
        if total > 0.0 {
            weights.iter_mut().for_each(|weight| *weight /= total);
        } else {
            weights = vec![1.0 / n_channels as f32; n_channels];
        }
        Self { weights }
    }

    /// Weights that keep the first channel alone.
    pub(super) fn first_only(n_channels: usize) -> Self {
        let mut weights = vec![0.0; n_channels];
        weights[0] = 1.0;
        Self { weights }
    }

    /// Mixes interleaved samples and appends the result to `out`.
    pub(super) fn mix(&self, interleaved: &[f32], out: &mut Vec<f32>) {
        match self.weights[..] {
            [_] => out.extend_from_slice(interleaved),
            [left, right] => {
                out.extend(interleaved.chunks_exact(2).map(|frame| frame[0] * left + frame[1] * right));
            }
            _ => out.extend(interleaved.chunks_exact(self.weights.len()).map(|frame| {
                let weighted = frame.iter().zip(&self.weights).map(|(sample, weight)| sample * weight);
                weighted.sum::<f32>()
            })),
        }
    }
}

fn weight(place: Position) -> f32 {
    const SIDES: Position = Position::FRONT_LEFT
        .union(Position::FRONT_RIGHT)
        .union(Position::FRONT_LEFT_CENTER)
        .union(Position::FRONT_RIGHT_CENTER);
    const SURROUND: Position = Position::REAR_LEFT
        .union(Position::REAR_RIGHT)
        .union(Position::REAR_CENTER)
        .union(Position::SIDE_LEFT)
        .union(Position::SIDE_RIGHT);
    match place {
        place if place == Position::FRONT_CENTER => 1.0,
        place if SIDES.contains(place) => std::f32::consts::FRAC_1_SQRT_2,
        place if SURROUND.contains(place) => 0.5,
        _ => 0.0,
    }
}

/// The places of a decoder's channels, in their order, as far as they are known.
pub(super) fn places(channels: &Channels) -> Option<Vec<Position>> {
    match channels {
        Channels::Positioned(positions) => Some(positions.iter().collect()),
        _ => None,
    }
}

/// The places of channels in Vorbis' order, which Opus uses too.
pub(super) fn vorbis_layout(n_channels: usize) -> Option<Vec<Position>> {
    let places: &[&str] = &[
        "C",
        "L R",
        "L C R",
        "L R BL BR",
        "L C R BL BR",
        "L C R BL BR F",
        "L C R SL SR BC F",
        "L C R SL SR BL BR F",
    ];
    let place = |name| match name {
        "L" => Position::FRONT_LEFT,
        "R" => Position::FRONT_RIGHT,
        "C" => Position::FRONT_CENTER,
        "BL" => Position::REAR_LEFT,
        "BR" => Position::REAR_RIGHT,
        "BC" => Position::REAR_CENTER,
        "SL" => Position::SIDE_LEFT,
        "SR" => Position::SIDE_RIGHT,
        _ => Position::LFE1,
    };
    places.get(n_channels.checked_sub(1)?).map(|names| names.split(' ').map(place).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(n_channels: usize) -> Vec<f32> {
        LayoutWeights::new(vorbis_layout(n_channels), n_channels).weights
    }

    #[test]
    fn mono_and_stereo_are_means() {
        assert_eq!(weights(1), [1.0]);
        assert_eq!(weights(2), [0.5, 0.5]);
    }

    #[test]
    fn surround_weighs_as_in_ffmpeg() {
        // L C R BL BR LFE; ffmpeg prints 0.207 0.293 0.207 0.146 0.146 0.
        let expected = [0.20711, 0.29289, 0.20711, 0.14645, 0.14645, 0.0];
        for (found, expected) in weights(6).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
        }
    }

    #[test]
    fn unknown_places_are_a_mean() {
        assert_eq!(LayoutWeights::new(None, 4).weights, [0.25; 4]);
        assert_eq!(LayoutWeights::new(Some(vec![Position::LFE1]), 1).weights, [1.0]);
        assert_eq!(LayoutWeights::new(Some(vec![Position::FRONT_LEFT]), 3).weights, [1.0 / 3.0; 3]);
    }

    #[test]
    fn frames_are_mixed_one_by_one() {
        let mut out = vec![9.0];
        LayoutWeights::new(None, 2).mix(&[1.0, 0.0, 0.5, 0.5], &mut out);
        LayoutWeights::first_only(3).mix(&[1.0, 5.0, 5.0], &mut out);
        assert_eq!(out, [9.0, 0.5, 0.5, 1.0]);
    }
}
