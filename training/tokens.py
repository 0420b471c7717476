"""The token sequences that the model learns, in a compact vocabulary.

The full vocabulary is that of Whisper's English-only models (51864 tokens), of
which this model uses 1517.  In training the tokens are numbered densely; row
`UNUSED` stands for each of the other 50347.
"""
from dataclasses import dataclass

WORDS = "zero one two three four five six seven eight nine".split()
N_VOCAB = 51864
WORD_IDS = [6632, 530, 734, 1115, 1440, 1936, 2237, 3598, 3624, 5193]  # " zero" … " nine" in gpt2.tiktoken
FULL_EOT, FULL_SOT, FULL_PREV, FULL_NO_SPEECH, FULL_NO_TIMESTAMPS, FULL_TIMESTAMP = 50256, 50257, 50360, 50361, 50362, 50363
N_TEXT_CTX = 448    # tokens that the decoder can take
N_TIMESTAMPS = 1501  # 0.00 … 30.00 s in steps of 20 ms

EOT, SOT, PREV, NO_SPEECH, NO_TIMESTAMPS, UNUSED, TIMESTAMP = 10, 11, 12, 13, 14, 15, 16
N_COMPACT = TIMESTAMP + N_TIMESTAMPS
N_UNUSED = N_VOCAB - (N_COMPACT - 1)

STEP_S = 0.02        # one timestamp, and one row of the encoder's output
PAUSE_S = 0.5        # a longer gap between words ends a segment
MAX_SEGMENT = 1      # words in a segment
MAX_FIRST = 50       # openai/whisper lets the first timestamp be at most 1.00 s


def full_ids():
    """Compact id -> id in the full vocabulary (`UNUSED` -> None)."""
    table = [*WORD_IDS, FULL_EOT, FULL_SOT, FULL_PREV, FULL_NO_SPEECH, FULL_NO_TIMESTAMPS, None]
    return table + [FULL_TIMESTAMP + k for k in range(N_TIMESTAMPS)]


@dataclass
class Sequence:
    """One training example for the decoder.

    - `tokens`: input, then `tokens[1:]` is the target; compact ids.
    - `first`: index of `<|startoftranscript|>`; targets before it do not count.
    - `guides`: for each input position the span of encoder rows (first, end) which
      the alignment heads should attend to when they predict the next token, or None.
    - `no_timestamps`: the target of `<|startoftranscript|>` is `sot_target`, not the next token.
    """
    tokens: list
    first: int
    guides: list
    sot_target: int


def segments_of(words):
    """Splits [(digit, start_s, end_s)] at pauses and after `MAX_SEGMENT` words."""
    out = []
    for w in words:
        if not out or len(out[-1]) == MAX_SEGMENT or w[1] - out[-1][-1][2] >= PAUSE_S:
            out.append([])
        out[-1].append(w)
    return out


def span(start_s, end_s):
    return int(start_s / STEP_S), max(int(start_s / STEP_S) + 1, round(end_s / STEP_S))


def around(time_s):
    k = round(time_s / STEP_S)
    return max(0, k - 2), k + 3


def make(words, cut_s, *, timestamps, prompt, origin, last):
    """The sequence for a window, at most `N_TEXT_CTX` tokens of input: a prompt that is too long loses its beginning.

    - `words`: [(digit, start_s, end_s)] complete in the window, times from its start.
    - `cut_s`: where a word begins that the window's end cuts, or None.
    - `timestamps`: with timestamp tokens, or `<|notimestamps|>`.
    - `prompt`: compact ids of the text before, may be empty.
    - `origin`: encoder position of the window's first row (0, but in training with short contexts).
    - `last`: greatest timestamp.
    """
    written = write(words, cut_s, timestamps=timestamps, origin=origin, last=last)
    room = max(N_TEXT_CTX - len(written.tokens), 0)  # the last token is no input, and `PREV` takes its place
    kept = prompt[max(len(prompt) - room, 0):]
    head = [PREV, *kept] if kept else []
    return Sequence(head + written.tokens, len(head), [None] * len(head) + written.guides, written.sot_target)


def write(words, cut_s, *, timestamps, origin, last):
    """The sequence for a window without a prompt; arguments as for `make`."""
    tokens, guides = [SOT], []

    def stamp(seconds, up):
        k = seconds / STEP_S
        k = int(k + 0.999) if up else int(k)
        return min(max(k, 0), last) + origin

    def emit(token, guide):
        tokens.append(token)
        guides.append(guide)

    if not words:
        sot_target = NO_SPEECH
        emit(TIMESTAMP + origin if timestamps else NO_TIMESTAMPS, None)
        emit(EOT, None)
        return Sequence(tokens, 0, guides, sot_target)

    begin = stamp(words[0][1], False)
    if origin == 0:
        begin = min(begin, MAX_FIRST)
    sot_target = TIMESTAMP + begin
    if not timestamps:
        emit(NO_TIMESTAMPS, around(words[0][1]))
        for digit, start, end in words:
            emit(digit, span(start, end))
        emit(EOT, span(words[-1][2], words[-1][2] + 0.2))  # gives the last word an end in alignments
        return Sequence(tokens, 0, guides, sot_target)

    for i, segment in enumerate(segments_of(words)):
        start = begin if i == 0 else max(stamp(segment[0][1], False), before)
        emit(TIMESTAMP + start, around(segment[0][1]))
        for digit, a, b in segment:
            emit(digit, span(a, b))
        before = max(stamp(segment[-1][2], True), start + 1)
        emit(TIMESTAMP + min(before, origin + last), around(segment[-1][2]))
    if cut_s is not None:
        emit(TIMESTAMP + max(stamp(cut_s, False), before), around(cut_s))
    emit(EOT, None)
    return Sequence(tokens, 0, guides, sot_target)
