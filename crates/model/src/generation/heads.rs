//! The cross-attention heads that follow the audio.

use crate::Dims;

/// Models that OpenAI published: name, vocabulary, layers of encoder and decoder, and their alignment heads.
///
/// Source: `_ALIGNMENT_HEADS` in openai/whisper `whisper/__init__.py`, unpacked.
#[rustfmt::skip]
const KNOWN: [Known; 12] = [
    ("tiny.en", 51864, (4, 4), &[(1, 0), (2, 0), (2, 5), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4)]),
    ("tiny", 51865, (4, 4), &[(2, 2), (3, 0), (3, 2), (3, 3), (3, 4), (3, 5)]),
    ("base.en", 51864, (6, 6), &[(3, 3), (4, 7), (5, 1), (5, 5), (5, 7)]),
    ("base", 51865, (6, 6), &[(3, 1), (4, 2), (4, 3), (4, 7), (5, 1), (5, 2), (5, 4), (5, 6)]),
    ("small.en", 51864, (12, 12), &[
        (6, 6), (7, 0), (7, 3), (7, 8), (8, 2), (8, 5), (8, 7), (9, 0), (9, 4), (9, 8), (9, 10), (10, 0), (10, 1),
        (10, 2), (10, 3), (10, 6), (10, 11), (11, 2), (11, 4),
    ]),
    ("small", 51865, (12, 12), &[
        (5, 3), (5, 9), (8, 0), (8, 4), (8, 7), (8, 8), (9, 0), (9, 7), (9, 9), (10, 5),
    ]),
    ("medium.en", 51864, (24, 24), &[
        (11, 4), (14, 1), (14, 12), (14, 14), (15, 4), (16, 0), (16, 4), (16, 9), (17, 12), (17, 14), (18, 7), (18, 10),
        (18, 15), (20, 0), (20, 3), (20, 9), (20, 14), (21, 12),
    ]),
    ("medium", 51865, (24, 24), &[(13, 15), (15, 4), (15, 15), (16, 1), (20, 0), (23, 4)]),
    ("large-v1", 51865, (32, 32), &[
        (9, 19), (11, 2), (11, 4), (11, 17), (22, 7), (22, 11), (22, 17), (23, 2), (23, 15),
    ]),
    ("large-v2", 51865, (32, 32), &[
        (10, 12), (13, 17), (16, 11), (16, 12), (16, 13), (17, 15), (17, 16), (18, 4), (18, 11), (18, 19), (19, 11),
        (21, 2), (21, 3), (22, 3), (22, 9), (22, 12), (23, 5), (23, 7), (23, 13), (25, 5), (26, 1), (26, 12), (27, 15),
    ]),
    ("large-v3", 51866, (32, 32), &[
        (7, 0), (10, 17), (12, 18), (13, 12), (16, 1), (17, 14), (19, 11), (21, 4), (24, 1), (25, 6),
    ]),
    ("large-v3-turbo", 51866, (32, 4), &[(2, 4), (2, 11), (3, 3), (3, 6), (3, 11), (3, 14)]),
];

type Known = (&'static str, usize, (usize, usize), &'static [(usize, usize)]);

/// The alignment heads of a model that does not name its own: those of the published model of its shape, from which
/// it is most likely made, else all heads of the layers from the middle on.
///
/// `name` tells large-v1 from large-v2, which have the same shape.
///
/// Source: `Whisper.__init__` in openai/whisper `whisper/model.py`.
pub(super) fn alignment_heads(dims: &Dims, name: &str) -> Vec<(usize, usize)> {
    let shape = (dims.n_vocab, (dims.n_audio_layer, dims.n_text_layer));
    let of_shape = KNOWN.iter().filter(|(_, n_vocab, layers, heads)| {
        (*n_vocab, *layers) == shape && heads.iter().all(|(_, head)| *head < dims.n_text_head)
    });
    // Widths are 64 for every head of all published models.
    let of_shape = of_shape.filter(|_| dims.n_text_state == 64 * dims.n_text_head && dims.n_text_head >= 6);
    let known = of_shape.max_by_key(|(known, ..)| (name.contains(known), *known));
    if let Some((.., heads)) = known {
        return heads.to_vec();
    }
    let layers = dims.n_text_layer / 2..dims.n_text_layer;
    layers.flat_map(|layer| (0..dims.n_text_head).map(move |head| (layer, head))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dims(n_vocab: usize, n_text_head: usize, (n_audio_layer, n_text_layer): (usize, usize)) -> Dims {
        let n_state = 64 * n_text_head;
        Dims {
            n_mels: 80,
            n_audio_ctx: 1500,
            n_audio_state: n_state,
            n_audio_head: n_text_head,
            n_audio_layer,
            n_vocab,
            n_text_ctx: 448,
            n_text_state: n_state,
            n_text_head,
            n_text_layer,
        }
    }

    #[test]
    fn published_models_are_known_by_their_shape_and_the_first_large_one_by_its_name() {
        let tiny = alignment_heads(&dims(51865, 6, (4, 4)), "my-tune");
        assert_eq!(tiny, [(2, 2), (3, 0), (3, 2), (3, 3), (3, 4), (3, 5)]);
        assert_eq!(alignment_heads(&dims(51864, 6, (4, 4)), "tiny").len(), 8, "English only");
        let large = dims(51865, 20, (32, 32));
        assert_eq!(alignment_heads(&large, "ggml-large-v1")[0], (9, 19));
        assert_eq!(alignment_heads(&large, "large")[0], (10, 12));
        assert_eq!(
            alignment_heads(&dims(51866, 20, (32, 4)), "large-v3")[0],
            (2, 4),
            "turbo, whatever its name"
        );
        for (name, n_vocab, layers, heads) in KNOWN {
            assert_eq!(alignment_heads(&dims(n_vocab, 20, layers), name), heads, "{name}");
            assert!(heads.iter().all(|(layer, _)| *layer < layers.1), "{name}");
        }
    }

    #[test]
    fn other_models_have_all_heads_of_the_upper_half() {
        assert_eq!(alignment_heads(&dims(51865, 2, (2, 3)), "tiny"), [(1, 0), (1, 1), (2, 0), (2, 1)]);
        assert_eq!(alignment_heads(&dims(51865, 6, (32, 2)), "").len(), 6, "distilled");
    }
}
