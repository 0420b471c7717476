//! Where a recording is cut: into the clips asked for, those into speech, and that into parts of a window's length.

use boswell_audio::{HOP_LENGTH, N_FRAMES, Spectrogram};

use crate::timeline::Timeline;
use crate::windows::{FRAMES_PER_SECOND, Route};
use crate::{Error, Options};

/// A cut is looked for in so many frames at the end of a window.
const SEARCH_FRAMES: usize = 10 * FRAMES_PER_SECOND;
/// A pause is at least so many frames long.
const PAUSE_FRAMES: usize = FRAMES_PER_SECOND / 5;

/// What of a recording is decoded, and in which order.
#[derive(Debug)]
pub(crate) struct Course {
    /// The time of the routes.
    pub(crate) timeline: Timeline,
    /// The parts that are decoded each on its own, in order.
    pub(crate) routes: Vec<Route>,
    /// Where the recording first speaks, as far as that is known: its language is heard there. `None`: nowhere.
    pub(crate) first_speech: Option<usize>,
}

impl Course {
    /// Plans the decoding of a recording.
    ///
    /// # Errors
    /// [`Error::Option`] if clips or the batch size make no sense, [`Error::VoiceActivity`] if nobody listened for
    /// speech that is asked for, [`Error::Features`] if the spectrogram cannot be read.
    pub(crate) fn new(spectrogram: &Spectrogram, options: &Options) -> Result<Self, Error> {
        if options.batch_size == 0 {
            let (found, expected) = ("0".to_owned(), "1 or more".to_owned());
            return Err(Error::Option { name: "batch_size", found, expected });
        }
        let n_frames = spectrogram.n_frames();
        let clips = clips(&options.clip_timestamps, n_frames)?;
        let is_batched = options.batch_size > 1;
        let mut course =
            Self { timeline: Timeline::of_recording(), routes: Vec::new(), first_speech: Some(0) };
        if let Some(speech) = speech(spectrogram, options)? {
            let clips: Vec<_> = clips.iter().map(|clip| within(&speech, *clip)).collect();
            course.first_speech = clips.iter().flatten().map(|(start, _)| *start).next();
            if is_batched {
                for clip in &clips {
                    course.routes.extend(merged(&parts(spectrogram, clip)?).map(alone));
                }
            } else {
                course.timeline = Timeline::of_pieces(&clips.concat());
                course.routes.push(in_a_row(&clips));
            }
        } else if is_batched {
            course.routes.extend(parts(spectrogram, &clips)?.into_iter().map(alone));
        } else {
            course.routes.push(Route { clips, whole: (0, n_frames) });
        }
        Ok(course)
    }
}

/// A part that nothing is around.
fn alone(part: (usize, usize)) -> Route {
    Route { clips: vec![part], whole: part }
}

/// All speech, clip by clip, on a time line of its own.
fn in_a_row(clips: &[Vec<(usize, usize)>]) -> Route {
    let mut end = 0;
    let clip = |speech: &Vec<(usize, usize)>| {
        let start = end;
        end += speech.iter().map(|(start, end)| end - start).sum::<usize>();
        (start, end)
    };
    let clips = clips.iter().map(clip).collect();
    Route { clips, whole: (0, end) }
}

/// The spans of speech, in frames, if only they are to be decoded.
fn speech(spectrogram: &Spectrogram, options: &Options) -> Result<Option<Vec<(usize, usize)>>, Error> {
    let Some(vad) = &options.vad else { return Ok(None) };
    let spans = spectrogram.speech(vad).ok_or(Error::VoiceActivity)?;
    let mut last_end = 0;
    let frames = spans.iter().map(|span| {
        // Spans that touch each other share no frame.
        let start = last_end.max(span.start as usize / HOP_LENGTH);
        last_end = (span.end as usize).div_ceil(HOP_LENGTH).min(spectrogram.n_frames()).max(start);
        (start, last_end)
    });
    Ok(Some(frames.filter(|(start, end)| start < end).collect()))
}

/// What of spans is in a clip.
fn within(spans: &[(usize, usize)], clip: (usize, usize)) -> Vec<(usize, usize)> {
    let spans = spans.iter().map(|(start, end)| (*start.max(&clip.0), *end.min(&clip.1)));
    spans.filter(|(start, end)| start < end).collect()
}

/// Joins parts, with what is between them, as far as a window goes.
///
/// Source: `merge_chunks` in m-bain/whisperX `whisperx/vads/vad.py`.
fn merged(parts: &[(usize, usize)]) -> impl Iterator<Item = (usize, usize)> {
    let mut merged: Vec<(usize, usize)> = Vec::new();
    for &(start, end) in parts {
        match merged.last_mut() {
            Some(last) if end - last.0 <= N_FRAMES => last.1 = end,
            _ => merged.push((start, end)),
        }
    }
    merged.into_iter()
}

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
fn parts(spectrogram: &Spectrogram, clips: &[(usize, usize)]) -> Result<Vec<(usize, usize)>, Error> {
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
    fn speech_in_a_clip_is_joined_as_far_as_a_window_goes() {
        let speech = [(100, 900), (1200, 2900), (3050, 3100), (3101, 6000), (9000, 9001)];
        let clip = within(&speech, (500, 5000));
        assert_eq!(clip, [(500, 900), (1200, 2900), (3050, 3100), (3101, 5000)]);
        assert_eq!(merged(&clip).collect::<Vec<_>>(), [(500, 3100), (3101, 5000)]);
        assert_eq!(merged(&speech).collect::<Vec<_>>(), [(100, 3100), (3101, 6000), (9000, 9001)]);
        assert_eq!(merged(&[]).count(), 0);
    }

    #[test]
    fn silence_is_not_decoded() {
        use boswell_audio::{SpectrogramOptions, VadOptions};
        let listening = SpectrogramOptions { voice_activity: true, ..SpectrogramOptions::default() };
        let silence = Spectrogram::from_waveform_with(&[0.0; 1_600_000], 80, &listening).unwrap();
        for batch_size in [1, 8] {
            let options = Options { vad: Some(VadOptions::default()), batch_size, ..Options::default() };
            let course = Course::new(&silence, &options).unwrap();
            assert_eq!(course.first_speech, None);
            assert!(course.routes.iter().flat_map(|route| &route.clips).all(|(start, end)| start == end));
            let unheard = Spectrogram::from_waveform(&[0.0; 16_000], 80).unwrap();
            assert!(matches!(Course::new(&unheard, &options), Err(Error::VoiceActivity)));
        }
    }

    #[test]
    fn what_fits_a_window_is_not_cut() {
        let spectrogram = Spectrogram::from_waveform(&[0.0; 480_000], 80).unwrap();
        assert_eq!(parts(&spectrogram, &[(0, 3000), (5, 5)]).unwrap(), [(0, 3000), (5, 5)]);
    }
}
