#!/bin/bash
# ffmpeg: frame and slice threads in decoders, encoders and filters; one thread per output.
# PACKAGES: ffmpeg
. "$(dirname "$0")/common.sh"
need ffmpeg ffmpeg
src=testsrc2=size=480x270:rate=25:duration=3
common="-v error -nostdin"
both "$ffmpeg" $common -filter_threads 4 -f lavfi -i $src -vf "scale=320:180,boxblur=2,hue=h=90" \
	-fflags +bitexact -f framemd5 -
ok "filters"
[ "$(grep -vc '^#' "$T/grt.out")" = 75 ] || fail "filters: not 75 frames"
both "$ffmpeg" $common -f lavfi -i $src -c:v mpeg4 -threads 8 -flags +bitexact -fflags +bitexact -f framemd5 -
ok "mpeg4"
both "$ffmpeg" $common -f lavfi -i $src -f lavfi -i sine=duration=3 -c:v mpeg4 -threads 4 \
	-c:a flac -fflags +bitexact -flags +bitexact -f matroska -y out.mkv
ok "two streams to a file"
cp "$T/native/out.mkv" "$T/in.mkv"
both "$ffmpeg" $common -threads 8 -i "$T/in.mkv" -fflags +bitexact -f framemd5 -
ok "decode"
both "$ffmpeg" $common -threads 8 -thread_type frame -i "$T/in.mkv" -f null -
ok "null"
if "$ffmpeg" -v error -encoders 2>/dev/null | grep -q libx264; then
	both "$ffmpeg" $common -f lavfi -i $src -c:v libx264 -preset veryfast -threads 8 \
		-fflags +bitexact -f framemd5 -
	ok "libx264"
	threads_ok "ffmpeg, libx264 with 8 threads"
	native "$ffmpeg" $common -f lavfi -i $src -c:v libx264 -threads 4 -y x.mkv
	cp "$T/native/x.mkv" "$T/grt/x.mkv"
	both "$ffmpeg" $common -threads 8 -thread_type frame -i x.mkv -fflags +bitexact -f framemd5 -
	ok "h264 decoder with frame threads"
fi
both "$ffmpeg" $common -i nosuchfile.mkv -f null -
[ "$native_status" != 0 ] || fail "ffmpeg accepts a file that is not there"
