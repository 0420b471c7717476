// int8 values through a table of 256, 2048 values a call.

.data 0x70400
output: .zero 2048
input:  .zero 2048
table:  .zero 256                       // of input + 128

.text
    mova r18, #-1
    mova r17, #1
next_call:
    acq #49, r18                        // input full
    acq #50, r18                        // output free
    movxm p0, #input
    movxm p1, #output
    movxm p2, #table
    movxm r0, #2048
    movxm r5, #128
    movx r1, #0
    add.nc lc, r0, #0
    movxm ls, #each
    movxm le, #last
each:
    mov dj0, r1
    lda.u8 r2, [p0, dj0]
    xor r2, r2, r5
    mov dj1, r2
    lda.s8 r3, [p2, dj1]
    st.s8 r3, [p1, dj0]
last:
    add r1, r1, #1
    rel #48, r17
    rel #51, r17
    j #next_call
