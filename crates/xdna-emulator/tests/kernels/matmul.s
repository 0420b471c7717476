// int8 product A [M, K] · B [K, N] + bias, requantised per column with 64-bit rounding.
// B lies in the memory of the western neighbour.

.equ B, 0x50000

.data 0x70000
m:          .word 0
k:          .word 0
n:          .word 0
out_zero:   .word 0
has_a:      .word 0                     // 0: `acc` holds the sums already, only requantise
bias:       .zero 256                   // [N] int32
multiplier: .zero 256
shift:      .zero 256
output:     .zero 4096                  // [M, N] int8
acc:        .zero 16384                 // [M, N] int32
a:          .zero 16384                 // [M, K] int8

.text
    mova r18, #-1
    mova r17, #1
next_call:
    acq #49, r18
    acq #50, r18
    movxm p0, #m
    lda r20, [p0, #0]                   // M
    lda r21, [p0, #4]                   // K
    lda r22, [p0, #8]                   // N
    lda r23, [p0, #12]                  // zero point of the output
    lda r24, [p0, #16]
    movxm p0, #a                        // the row of A
    movxm p3, #acc
    movxm p4, #output
    movx r10, #0                        // index of the output
    movx r1, #0                         // row
each_row:
    movx r2, #0                         // column
    movxm p1, #B
each_column:
    jz r24, #requantise
    movx r4, #0                         // sum
    movx r5, #0                         // offset in A's row
    mov r6, r2                          // offset in B
    add.nc lc, r21, #0
    movxm ls, #each_k
    movxm le, #last_k
each_k:
    mov dj0, r5
    mov dj1, r6
    lda.s8 r7, [p0, dj0]
    lda.s8 r8, [p1, dj1]
    add r5, r5, #1
    add r6, r6, r22
    mul r7, r7, r8
last_k:
    add r4, r4, r7
    movxm p5, #bias
    movx r9, #2
    lshl r8, r2, r9
    mov dj2, r8
    lda r7, [p5, dj2]
    add r4, r4, r7
    lshl r8, r10, r9
    mov dj3, r8
    st r4, [p3, dj3]
requantise:
    movx r9, #2
    lshl r8, r10, r9
    mov dj3, r8
    lda r4, [p3, dj3]                   // the sum
    lshl r8, r2, r9
    mov dj2, r8
    movxm p5, #multiplier
    lda r5, [p5, dj2]
    movxm p5, #shift
    lda r6, [p5, dj2]
    // r8:r7 = |sum| · multiplier, out of products of halves
    abs r11, r4
    movx r9, #-16
    lshl r12, r11, r9                   // upper half of the sum
    extend.u16 r11, r11
    lshl r14, r5, r9                    // upper half of the multiplier
    extend.u16 r13, r5
    mul r15, r11, r13
    mul r16, r11, r14
    mul r28, r12, r13
    mul r8, r12, r14
    lshl r29, r15, r9
    extend.u16 r30, r16
    add r29, r29, r30
    extend.u16 r30, r28
    add r29, r29, r30                   // the middle, with its carry above bit 16
    movx r30, #16
    lshl r7, r29, r30
    extend.u16 r15, r15
    or r7, r7, r15
    lshl r16, r16, r9
    lshl r28, r28, r9
    lshl r29, r29, r9
    add r8, r8, r16
    add r8, r8, r28
    add r8, r8, r29
    // the sign
    movx r9, #0
    sub r11, r9, r7
    eqz r12, r11
    movx r13, #-1
    xor r14, r8, r13
    add r14, r14, r12
    lt r27, r4, r9
    sel.nez r7, r11, r7, r27
    sel.nez r8, r14, r8, r27
    // plus half: 1 << (shift - 1)
    movx r11, #1
    movx r12, #33
    lt r27, r6, r12
    add r13, r6, #-1
    lshl r13, r11, r13
    sel.nez r13, r13, r9, r27
    sub r14, r6, r12
    lshl r14, r11, r14
    sel.nez r14, r9, r14, r27
    add r7, r7, r13
    ltu r13, r7, r13                    // the carry
    add r8, r8, r14
    add r8, r8, r13
    // shifted right, by 31 at least
    movx r12, #32
    sub r13, r12, r6
    ashl r4, r8, r13
    movx r12, #-31
    lshl r14, r7, r12
    add r12, r6, #-31
    eqz r27, r12
    sel.nez r14, r14, r9, r27
    or r4, r4, r14
    add r4, r4, r23
    // saturated
    movx r12, #127
    lt r27, r12, r4
    sel.nez r4, r12, r4, r27
    movx r12, #-128
    lt r27, r4, r12
    sel.nez r4, r12, r4, r27
    mov dj0, r10
    st.s8 r4, [p4, dj0]
    add r10, r10, #1
    add r2, r2, #1
    lt r3, r2, r22
    jnz r3, #each_column
    mov m0, r21
    paddb [p0], m0
    add r1, r1, #1
    lt r3, r1, r20
    jnz r3, #each_row
    rel #48, r17
    rel #51, r17
    j #next_call
