// A frame of 400 int16 samples to 80 mel energies: window, 512-point FFT in int16 (result / 512), power, filters.

.data 0x70000
stack:      .zero 0x400
input:      .zero 800
output:     .zero 80
window:     .zero 800                   // [400] Q15
reversed:   .zero 1024                  // [512] int16: bits of the index in reverse order
cosine:     .zero 512                   // [256] Q15
sine:       .zero 512                   // [256] Q15, negated
filters:    .zero 40960                 // [80, 256] Q15
.align 4
re:         .zero 1024                  // [512] int16
im:         .zero 1024
power:      .zero 1024                  // [256] int32

.text
    jl #main
main:
    movxm sp, #stack
    mova r18, #-1
    mova r17, #1
next_call:
    acq #49, r18
    acq #50, r18
    jl #windowed
    jl #fft
    jl #powers
    jl #filter
    rel #48, r17
    rel #51, r17
    j #next_call

// re[reversed[n]] = (s[n] · w[n] + 2^14) >> 15, zeros from 400 on; im = 0
windowed:
    movxm p0, #input
    movxm p1, #window
    movxm p2, #reversed
    movxm p3, #re
    movxm p4, #im
    movx r1, #0
    movx r2, #0
    movx r6, #0
    movxm r3, #400
    movxm r4, #512
    movxm r5, #0x4000
    movx r9, #-15
    movx r10, #1
each_sample:
    lda.s16 r11, [p2, #0]
    lda.s16 r7, [p0, #0]
    lda.s16 r8, [p1, #0]
    mul r7, r7, r8
    add r7, r7, r5
    ashl r7, r7, r9
    lt r27, r1, r3
    sel.nez r7, r7, r2, r27
    lshl r11, r11, r10
    mov dj0, r11
    st.s16 r7, [p3, dj0]
    st.s16 r2, [p4, dj0]
    movx r12, #2
    mov m0, r12
    paddb [p2], m0
    // Behind the window nothing is read that counts, but addresses stay where they are.
    sel.nez r12, r12, r2, r27
    mov m1, r12
    paddb [p0], m1
    paddb [p1], m1
    add r1, r1, #1
    lt r12, r1, r4
    jnz r12, #each_sample
    ret lr

// Nine stages of butterflies: t = w · odd, (even ± t + 1) >> 1
fft:
    paddb [sp], #32
    st lr, [sp, #-32]
    movxm p0, #re
    movxm p1, #im
    movxm p2, #cosine
    movxm p3, #sine
    movx r1, #2                         // bytes of half a group
    movxm r2, #512                      // bytes between its twiddles
    movxm r20, #1024                    // bytes of everything
each_stage:
    movx r3, #0                         // first of the group
each_group:
    movx r4, #0                         // in the group
    movx r5, #0                         // its twiddle
each_butterfly:
    add r6, r3, r4
    add r7, r6, r1
    mov dj0, r6
    mov dj1, r7
    mov dj2, r5
    lda.s16 r8, [p0, dj1]
    lda.s16 r9, [p1, dj1]
    lda.s16 r10, [p2, dj2]
    lda.s16 r11, [p3, dj2]
    lda.s16 r12, [p0, dj0]
    lda.s16 r13, [p1, dj0]
    mul r14, r10, r8
    mul r15, r11, r9
    mul r16, r10, r9
    mul r19, r11, r8
    sub r14, r14, r15
    add r16, r16, r19
    jl #half_up
    add r8, r12, r14
    sub r9, r12, r14
    add r10, r13, r16
    sub r11, r13, r16
    add r8, r8, #1
    add r9, r9, #1
    add r10, r10, #1
    add r11, r11, #1
    movx r15, #-1
    ashl r8, r8, r15
    ashl r9, r9, r15
    ashl r10, r10, r15
    ashl r11, r11, r15
    st.s16 r8, [p0, dj0]
    st.s16 r9, [p0, dj1]
    st.s16 r10, [p1, dj0]
    st.s16 r11, [p1, dj1]
    add r5, r5, r2
    add r4, r4, #2
    lt r15, r4, r1
    jnz r15, #each_butterfly
    add r3, r3, r1
    add r3, r3, r1
    lt r15, r3, r20
    jnz r15, #each_group
    movx r15, #-1
    lshl r2, r2, r15
    add r1, r1, r1
    lt r15, r1, r20
    jnz r15, #each_stage
    lda lr, [sp, #-32]
    paddb [sp], #-32
    ret lr

// (r14 + 2^14) >> 15 and (r16 + 2^14) >> 15 as int16
half_up:
    movxm r15, #0x4000
    add r14, r14, r15
    add r16, r16, r15
    movx r15, #-15
    ashl r14, r14, r15
    ashl r16, r16, r15
    extend.s16 r14, r14
    extend.s16 r16, r16
    ret lr

powers:
    movxm p0, #re
    movxm p1, #im
    movxm p2, #power
    movxm r0, #256
    add.nc lc, r0, #0
    movxm ls, #each_power
    movxm le, #last_power
each_power:
    lda.s16 r1, [p0, #0]
    lda.s16 r2, [p1, #0]
    mul r1, r1, r1
    mul r2, r2, r2
    add r1, r1, r2
    st r1, [p2, #0]
    movx r3, #2
    mov m0, r3
    paddb [p0], m0
    paddb [p1], m0
    padda [p2], #4
last_power:
    nop
    ret lr

// Σ (power · weight) >> 15, then · 127 >> 12, at most 127
filter:
    movxm p0, #filters
    movxm p2, #output
    movx r1, #0
    movx r14, #80
    movx r9, #-16
    movx r10, #-15
each_filter:
    movxm p1, #power
    movx r4, #0
    movxm r0, #256
    add.nc lc, r0, #0
    movxm ls, #each_tap
    movxm le, #last_tap
each_tap:
    lda r5, [p1, #0]
    lda.u16 r6, [p0, dj7]
    movx r7, #2
    mov m0, r7
    paddb [p0], m0
    padda [p1], #4
    // power · weight >> 15 in halves of the power
    lshl r7, r5, r9
    extend.u16 r5, r5
    mul r7, r7, r6
    mul r5, r5, r6
    add r7, r7, r7
    lshl r5, r5, r10
    add r7, r7, r5
last_tap:
    add r4, r4, r7
    movx r7, #-12
    lshl r5, r4, r7
    movxm r6, #0xFFF
    and r4, r4, r6
    movx r6, #127
    mul r5, r5, r6
    mul r4, r4, r6
    lshl r4, r4, r7
    add r4, r4, r5
    lt r27, r6, r4
    sel.nez r4, r6, r4, r27
    mov dj0, r1
    st.s8 r4, [p2, dj0]
    add r1, r1, #1
    lt r7, r1, r14
    jnz r7, #each_filter
    ret lr
