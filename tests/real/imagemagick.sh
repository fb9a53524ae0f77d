#!/bin/bash
# ImageMagick: its loops are OpenMP's, whose run-time makes the futex system call by an instruction of
# its own.  It takes threads only for a picture of many rows.
# PACKAGES: imagemagick-6.q16
. "$(dirname "$0")/common.sh"
need convert convert-im6.q16
export OMP_NUM_THREADS=8 MAGICK_THREAD_LIMIT=8
"$convert" -version | grep -q OpenMP || skip "ImageMagick was built without OpenMP"
both "$convert" -size 500x2000 gradient:red-blue -swirl 90 -blur 0x3 -resize 110% -rotate 7 \
	-depth 8 rgb:-
ok "gradient"
[ "$(wc -c <"$T/grt.out")" -gt 1000000 ] || fail "no picture"
threads_ok "convert with 8 OpenMP threads"
both "$convert" rose: -resize 300x1200! -emboss 2 -charcoal 1 -modulate 90,120 -normalize \
	-define png:exclude-chunks=date,time -depth 8 out.png
ok "rose"
both "$convert" out.png -format '%# %w %h\n' info:
ok "signature"
OMP_WAIT_POLICY=passive both "$convert" out.png -median 3 -unsharp 0x1 -format '%#\n' info:
ok "with OMP_WAIT_POLICY=passive"
both "$convert" nosuchfile.png out2.png
[ "$native_status" != 0 ] || fail "convert accepts a file that is not there"
