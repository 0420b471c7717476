//! Where a recording is cut: into the clips asked for, and those into parts of a window's length.

use boswell_audio::{N_FRAMES, Spectrogram};

use crate::Error;
use crate::windows::FRAMES_PER_SECOND;

/// A cut is looked for in so many frames at the end of a window.
const SEARCH_FRAMES: usize = 10 * FRAMES_PER_SECOND;
/// A pause is at least so many frames long.
const PAUSE_FRAMES: usize = FRAMES_PER_SECOND / 5;

/// The parts to transcribe, in frames, within the recording.
pub(crate) fn clips(timestamps: &[f64], n_frames: usize) -> Result<Vec<(usize, usize)>, Error> {
    if let Some(bad) = timestamps.iter().find(|time_s| !(time_s.is_finite() && **time_s >= 0.0)) {
        let (found, expected) = (format!("{bad}"), "seconds, 0 or above".into());
        return Err(Error::Option { name: "clip_timestamps", found, expected });
    }
    let to_frame = |time_s: &f64| (time_s * FRAMES_PER_SECOND as f64).round_ties_even() as usize;
    let mut points: Vec<usize> = timestamps.iter().map(to_frame).collect();
    if points.is_empty() {
        points.push(0);
    }
    if points.len() % 2 == 1 {
        points.push(n_frames);
    }
    // Past the end there is nothing to decode, and a window there would not move the walk on.
    Ok(points.chunks_exact(2).map(|pair| (pair[0], pair[1].min(n_frames))).collect())
}

/// Cuts clips into parts of at most a window, each at the quietest moment of the window's last 10 s.
///
/// # Errors
/// [`Error::Features`] if the spectrogram cannot be read.
pub(crate) fn parts(
    spectrogram: &Spectrogram,
    clips: &[(usize, usize)],
) -> Result<Vec<(usize, usize)>, Error> {
    let mut mel = vec![0.0; spectrogram.n_mels() * N_FRAMES];
    let mut parts = Vec::new();
    for &(mut start, end) in clips {
        while end.saturating_sub(start) > N_FRAMES {
            let search = start + N_FRAMES - SEARCH_FRAMES;
            spectrogram.window(search, SEARCH_FRAMES, &mut mel)?;
            let cut = search + quietest(&mel);
            parts.push((start, cut));
            start = cut;
        }
        parts.push((start, end));
    }
    Ok(parts)
}

/// The middle of the quietest pause in the first [`SEARCH_FRAMES`] frames of `mel`, `[n_mels, N_FRAMES]`.
fn quietest(mel: &[f32]) -> usize {
    let mut levels = [0.0_f32; SEARCH_FRAMES];
    for band in mel.chunks_exact(N_FRAMES) {
        levels.iter_mut().zip(band).for_each(|(level, x)| *level += x);
    }
    let pauses = levels.windows(PAUSE_FRAMES).map(|pause| pause.iter().sum::<f32>());
    // Of equals the last: the longer a part, the more the model sees.
    let quietest = pauses.enumerate().min_by(|(i, x), (j, y)| x.total_cmp(y).then(j.cmp(i)));
    quietest.map_or(SEARCH_FRAMES, |(idx, _)| idx + PAUSE_FRAMES / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_where_it_is_quiet_and_cover_everything() {
        // 100 s of noise with a pause of half a second every 4 s.
        let mut rng = fastrand::Rng::with_seed(1);
        let sample = |i: usize| if i % 64_000 < 8_000 { 0.0 } else { rng.f32() - 0.5 };
        let waveform: Vec<f32> = (0..1_600_000).map(sample).collect();
        let spectrogram = Spectrogram::from_waveform(&waveform, 80).unwrap();
        let clips = [(0, 7_000), (7_500, 9_900)];
        let parts = parts(&spectrogram, &clips).unwrap();
        assert_eq!(parts.len(), 4);
        assert_eq!((parts[0].0, parts[2].1, parts[3]), (0, 7_000, clips[1]));
        for pair in parts[..3].windows(2) {
            assert_eq!(pair[0].1, pair[1].0);
            assert!((10..40).contains(&(pair[0].1 % 400)), "{parts:?}");
            assert!((2_000..=3_000).contains(&(pair[0].1 - pair[0].0)), "{parts:?}");
        }
    }

    #[test]
    fn what_fits_a_window_is_not_cut() {
        let spectrogram = Spectrogram::from_waveform(&[0.0; 480_000], 80).unwrap();
        assert_eq!(parts(&spectrogram, &[(0, 3000), (5, 5)]).unwrap(), [(0, 3000), (5, 5)]);
    }
}
