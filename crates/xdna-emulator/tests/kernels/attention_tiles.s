// Attention of one head over any number of keys, a tile of 64 keys a call: running maximum, sum and accumulators.
//
// Logits are in units of 2^-10 of a factor of two, weights are Q13 out of a table.

.equ FORBIDDEN, -0x40000000             // logit of a key that may not be looked at

.data 0x70000
rows:       .word 0                     // up to 64
keys:       .word 0                     // in this tile
first:      .word 0                     // whether it is the first tile
last:       .word 0                     // whether it is the last
unit:       .word 0                     // logit = (dot · unit + half) >> -unit_shift, + mask
unit_shift: .word 0
unit_half:  .word 0
out_unit:   .word 0                     // out = (mean · out_unit) >> -out_shift, rounded
out_shift:  .word 0
out_half:   .word 0
.align 32
q:          .zero 4096                  // [rows, 64]
k:          .zero 4096                  // [64, 64]
v:          .zero 4096                  // [64, 64]
mask:       .zero 16384                 // [rows, 64] logits, or FORBIDDEN
powers:     .zero 2048                  // [1024] uint16: 2^(13 - i / 1024)
output:     .zero 4096                  // [rows, 64]
tops:       .zero 256                   // [rows]
totals:     .zero 256                   // [rows]
sums:       .zero 16384                 // [rows, 64]
logits:     .zero 256                   // [64], then weights

.text
    mova r18, #-1
    mova r17, #1
next_call:
    acq #49, r18
    acq #50, r18
    movxm p7, #rows
    lda r20, [p7, #0]
    lda r21, [p7, #4]
    lda r22, [p7, #16]
    lda r23, [p7, #20]
    lda r24, [p7, #28]
    lda r25, [p7, #32]
    movxm r16, #FORBIDDEN
    movxm p0, #q
    movxm p2, #mask
    movxm p3, #sums
    movxm p4, #output
    movxm p5, #logits
    movxm p6, #powers
    mova r26, #0                        // row
each_row:
    movx r0, #2
    lshl r0, r26, r0
    mov dj7, r0                         // offset of the row in tops and totals
    lda r1, [p7, #8]
    jz r1, #has_begun
    movxm p1, #tops
    st r16, [p1, dj7]
    mova r1, #0
    movxm p1, #totals
    st r1, [p1, dj7]
    mov p1, p3
    mova r2, #64
    add.nc lc, r2, #0
    movxm ls, #each_zero
    movxm le, #last_zero
each_zero:
    st r1, [p1, #0]
    padda [p1], #4
last_zero:
    nop
has_begun:
    movxm p1, #tops
    lda r30, [p1, dj7]                  // the largest logit before
    mov r15, r30                        // and now
    // logits
    movxm p1, #k
    mova r2, #0
each_key:
    mova r4, #0
    mova r5, #0
    mova r6, #64
    add.nc lc, r6, #0
    movxm ls, #each_product
    movxm le, #last_product
each_product:
    mov dj0, r5
    lda.s8 r7, [p0, dj0]
    lda.s8 r8, [p1, dj0]
    add r5, r5, #1
    mul r7, r7, r8
last_product:
    add r4, r4, r7
    mul r4, r4, r22
    lda r5, [p7, #24]
    add r4, r4, r5
    ashl r4, r4, r23
    movx r0, #2
    lshl r0, r2, r0
    mov dj1, r0
    lda r5, [p2, dj1]
    add r4, r4, r5
    eq r27, r5, r16
    sel.nez r4, r16, r4, r27
    st r4, [p5, dj1]
    lt r27, r15, r4
    sel.nez r15, r4, r15, r27
    padda [p1], #64
    add r2, r2, #1
    lt r0, r2, r21
    jnz r0, #each_key
    // a row without any key stays as it is
    eq r0, r15, r16
    jnz r0, #row_done
    // what was summed up before is in units of the maximum before
    eq r0, r15, r30
    jnz r0, #weights
    sub r4, r15, r30
    jl #power
    eq r27, r30, r16
    mova r0, #0
    sel.nez r13, r0, r4, r27            // the factor
    movxm p1, #totals
    lda r4, [p1, dj7]
    jl #rescaled
    st r4, [p1, dj7]
    mov p1, p3
    mova r2, #64
each_rescaled:
    lda r4, [p1, #0]
    jl #rescaled
    st r4, [p1, #0]
    padda [p1], #4
    add r2, r2, #-1
    jnz r2, #each_rescaled
weights:
    movxm p1, #tops
    st r15, [p1, dj7]
    movxm p1, #totals
    lda r3, [p1, dj7]
    mova r2, #0
each_weight:
    movx r0, #2
    lshl r0, r2, r0
    mov dj1, r0
    lda r14, [p5, dj1]
    sub r4, r15, r14
    jl #power
    eq r27, r14, r16
    mova r0, #0
    sel.nez r4, r0, r4, r27
    st r4, [p5, dj1]
    add r3, r3, r4
    add r2, r2, #1
    lt r0, r2, r21
    jnz r0, #each_weight
    st r3, [p1, dj7]
    // sums of weighted values
    mova r2, #0
each_column:
    movxm p1, #v
    mov p7, p5
    movx r0, #2
    lshl r0, r2, r0
    mov dj1, r0
    mov dj0, r2
    lda r4, [p3, dj1]
    add.nc lc, r21, #0
    movxm ls, #each_value
    movxm le, #last_value
each_value:
    lda r7, [p7, #0]
    lda.s8 r8, [p1, dj0]
    padda [p7], #4
    padda [p1], #64
    mul r7, r7, r8
last_value:
    add r4, r4, r7
    st r4, [p3, dj1]
    add r2, r2, #1
    movxm r0, #64
    lt r0, r2, r0
    jnz r0, #each_column
    movxm p7, #rows
row_done:
    lda r1, [p7, #12]
    jz r1, #next_row
    // means: sum / total with 16 bits behind the point, times the scale
    movxm p1, #totals
    lda r12, [p1, dj7]
    mov p1, p3
    mova r2, #0
each_mean:
    mova r14, #0
    jz r12, #store_mean
    lda r13, [p1, #0]
    abs r31, r13
    mova r10, #0
    mova r0, #32
    add.nc lc, r0, #0
    movxm ls, #each_bit
    movxm le, #last_bit
each_bit:
    divs r10, r10, r12
last_bit:
    nop
    mov r11, r31                        // whole part
    mova r31, #0
    mova r0, #16
    add.nc lc, r0, #0
    movxm ls, #each_fraction
    movxm le, #last_fraction
each_fraction:
    divs r10, r10, r12
last_fraction:
    nop
    mul r11, r11, r24
    mul r10, r31, r24
    movx r0, #-16
    lshl r10, r10, r0
    add r14, r11, r10
    mova r0, #0
    sub r10, r0, r14
    lt r27, r13, r0
    sel.nez r14, r10, r14, r27
    lda r10, [p7, #36]
    add r14, r14, r10
    ashl r14, r14, r25
    movx r10, #127
    lt r27, r10, r14
    sel.nez r14, r10, r14, r27
    movx r10, #-128
    lt r27, r14, r10
    sel.nez r14, r10, r14, r27
store_mean:
    mov dj0, r2
    st.s8 r14, [p4, dj0]
    padda [p1], #4
    add r2, r2, #1
    movxm r0, #64
    lt r0, r2, r0
    jnz r0, #each_mean
next_row:
    padda [p0], #64
    padda [p2], #256
    padda [p3], #256
    padda [p4], #64
    add r26, r26, #1
    lt r0, r26, r20
    jnz r0, #each_row
    rel #48, r17
    rel #51, r17
    j #next_call

// r4 = 2^(13 - r4 / 1024), rounded; r4 at least 0
power:
    movx r5, #-10
    lshl r6, r4, r5
    movx r5, #14
    lt r27, r6, r5
    sel.nez r6, r6, r5, r27
    movxm r5, #1023
    and r4, r4, r5
    add r4, r4, r4
    mov dj2, r4
    lda.u16 r4, [p6, dj2]
    mova r0, #0
    sub r7, r0, r6
    mova r5, #1
    lshl r5, r5, r6
    movx r0, #-1
    lshl r5, r5, r0
    add r4, r4, r5
    lshl r4, r4, r7
    ret lr

// r4 = (r4 · r13 + 2^12) >> 13, in two parts so that nothing overflows
rescaled:
    movx r0, #-13
    movxm r5, #0x1FFF
    and r5, r4, r5
    ashl r4, r4, r0
    mul r5, r5, r13
    movxm r6, #0x1000
    add r5, r5, r6
    lshl r5, r5, r0
    mul r4, r4, r13
    add r4, r4, r5
    ret lr
