// Log-mel features of up to 20 frames. The spectrum's factors come in parts; the last part is followed by the filters.
//
// A number of the spectrum is a sum of products without so many of their lowest bits that it fits a word: 9 at most, none
// in a quiet frame. Its power is kept as 16 bits and an exponent; a filter adds up what it weighs in units of its largest
// exponent.

.equ FACTORS, 0x50000                   // west: [bins, 200, 2] int16, window times cosine and sine of samples 1 to 200
.equ LOG10_2, 157826                    // in units of 2^-19
.equ LEAST, -20480                      // log10 of 1e-10 in units of 2^-11

.data 0x70000
frames:    .word 0
bins:      .word 0                      // in this part
first:     .word 0                      // the first of them
is_last:   .word 0                      // whether this part is the last
n_mels:    .word 0
top:       .word 0                      // the largest output so far
samples:   .zero 6880                   // [160 · frames + 240] int16
filters:   .zero 1024                   // [n_mels] first bin · 2, taps
weights:   .zero 4096                   // of all taps, in units of 2^-20
logs:      .zero 1024                   // [512] int16: log10(1 + (i + 1/2) / 512) in units of 2^-11
folded:    .zero 1608                   // [200] sample m + sample 400 - m, and their difference; room for one more
powers:    .zero 8080                   // [frames, 202] uint16
exponents: .zero 8080                   // [frames, 202] int16
output:    .zero 5120                   // [frames, n_mels] int16, in units of 2^-11

.text
    mova r18, #-1
    mova r17, #1
    mova r19, #-8
    mova dj6, #0
    mova dj7, #2
next_call:
    acq #49, r18                        // input full
    acq #50, r18                        // output free
    movxm p7, #frames
    lda r20, [p7, #0]
    lda r21, [p7, #4]
    lda r22, [p7, #8]
    movxm p0, #samples
    movxm p4, #output
    movxm p5, #powers
    movxm p6, #exponents
    mova r26, #0                        // place in the output
each_frame:
    movxm p1, #folded
    mova r12, #0                        // a bit for each that any number below has
    mova r5, #2
    movxm r6, #798
    movxm r0, #199
    add.nc lc, r0, #0
    movxm ls, #each_fold
    movxm le, #last_fold
each_fold:
    mov dj0, r5
    mov dj1, r6
    lda.s16 r7, [p0, dj0]
    lda.s16 r8, [p0, dj1]
    add r5, r5, #2
    add r6, r6, #-2
    add r9, r7, r8
    st r9, [p1, #0]
    abs r9, r9
    or r12, r12, r9
    sub r9, r7, r8
    st r9, [p1, #4]
    padda [p1], #8
    abs r9, r9
last_fold:
    or r12, r12, r9
    mov dj0, r5                         // sample 200 has no other
    lda.s16 r7, [p0, dj0]
    st r7, [p1, #0]
    abs r7, r7
    or r12, r12, r7
    mova r7, #0
    st r7, [p1, #4]
    lshl r24, r22, r17                  // place of the first bin in powers and exponents
    jz r12, #silent
    clz r12, r12
    movx r0, #24
    sub r12, r0, r12                    // bits to cut off: products below 2^15 times this, 200 of them in 31 bits
    lt r27, r12, r7
    sel.nez r12, r7, r12, r27
    sub r16, r7, r12
    movx r28, #100                      // half of what 200 products lose, if they lose anything
    mov r27, r12
    sel.eqz r28, r7, r28, r27
    add r29, r12, #-8
    add r29, r29, r29                   // of the power's exponent, beside 2 · 8

    movxm p1, #FACTORS
    mova r23, #0                        // bin of this part
each_bin:
    movxm p2, #folded
    mov r10, r28
    mov r11, r28
    mova r0, #100
    add.nc lc, r0, #0
    movxm ls, #two_products
    movxm le, #last_product
    lda r4, [p2, #0]
    lda.s16 r5, [p1, dj6]
    lda r6, [p2, #4]; paddb [p2], #8
    lda.s16 r7, [p1, dj7]; paddb [p1], #4
two_products:
    lda r8, [p2, #0]; mul r12, r4, r5
    lda.s16 r9, [p1, dj6]; mul r13, r6, r7
    lda r14, [p2, #4]; paddb [p2], #8; ashl r12, r12, r16
    lda.s16 r15, [p1, dj7]; paddb [p1], #4; ashl r13, r13, r16
    add r10, r10, r12
    add r11, r11, r13
    lda r4, [p2, #0]; mul r12, r8, r9
    lda.s16 r5, [p1, dj6]; mul r13, r14, r15
    lda r6, [p2, #4]; paddb [p2], #8; ashl r12, r12, r16
    lda.s16 r7, [p1, dj7]; paddb [p1], #4; ashl r13, r13, r16
    add r10, r10, r12
last_product:
    add r11, r11, r13
    padda [p1], #-4                     // one more was loaded than there is
    abs r4, r10
    abs r5, r11
    or r4, r4, r5
    clz r4, r4
    add r5, r4, #-17                    // to 15 bits and a sign
    ashl r6, r10, r5
    ashl r7, r11, r5
    mul r6, r6, r6
    mul r7, r7, r7
    add r6, r6, r7
    clz r7, r6
    add r8, r7, #-16                    // to 16 bits
    lshl r6, r6, r8
    add r5, r5, r5
    add r8, r8, r5
    sub r8, r29, r8
    mov dj0, r24
    st.s16 r6, [p5, dj0]
    st.s16 r8, [p6, dj0]
    add r24, r24, #2
    add r23, r23, #1
    lt r0, r23, r21
    jnz r0, #each_bin
    j #spectrum_done
silent:                                 // no number below is anything but 0
    mov r23, r21
each_nothing:
    mov dj0, r24
    st.s16 r7, [p5, dj0]
    st.s16 r7, [p6, dj0]
    add r24, r24, #2
    add r23, r23, #-1
    jnz r23, #each_nothing

spectrum_done:
    lda r0, [p7, #12]
    jz r0, #frame_done
    movxm p1, #filters
    movxm p2, #weights
    movxm p3, #logs
    lda r25, [p7, #16]
each_filter:
    lda r4, [p1, #0]
    lda r5, [p1, #4]
    padda [p1], #8
    movx r7, #-64
    mov r6, r4
    add.nc lc, r5, #0
    movxm ls, #each_exponent
    movxm le, #last_exponent
each_exponent:
    mov dj0, r6
    lda.s16 r8, [p6, dj0]
    add r6, r6, #2
    lt r27, r7, r8
last_exponent:
    sel.nez r7, r8, r7, r27
    mova r9, #0
    mov r6, r4
    add.nc lc, r5, #0
    movxm ls, #each_tap
    movxm le, #last_tap
each_tap:
    mov dj0, r6
    lda.u16 r8, [p5, dj0]
    lda.s16 r10, [p6, dj0]
    lda r11, [p2, #0]
    padda [p2], #4
    add r6, r6, #2
    mul r8, r8, r11
    sub r10, r10, r7
    add r10, r10, #-5                   // room for 32 taps
    lshl r8, r8, r10
last_tap:
    add r9, r9, r8
    movxm r10, #LEAST
    jz r9, #store
    clz r11, r9
    lshl r9, r9, r11
    movx r0, #-22
    lshl r9, r9, r0
    movxm r0, #511
    and r9, r9, r0
    add r9, r9, r9
    mov dj0, r9
    lda.s16 r9, [p3, dj0]
    sub r7, r7, r11
    add r7, r7, #-28                    // 31 + 5 for the sum, - 20 for weights, - 44 for powers
    movxm r0, #LOG10_2
    mul r7, r7, r0
    movxm r0, #128
    add r7, r7, r0
    ashl r7, r7, r19
    add r7, r7, r9
    lt r27, r7, r10
    sel.nez r10, r10, r7, r27
store:
    mov dj0, r26
    st.s16 r10, [p4, dj0]
    add r26, r26, #2
    lda r0, [p7, #20]
    lt r27, r0, r10
    sel.nez r0, r10, r0, r27
    st r0, [p7, #20]
    add r25, r25, #-1
    jnz r25, #each_filter
frame_done:
    padda [p0], #320
    padda [p5], #404
    padda [p6], #404
    add r20, r20, #-1
    jnz r20, #each_frame
    rel #48, r17
    rel #51, r17
    j #next_call
