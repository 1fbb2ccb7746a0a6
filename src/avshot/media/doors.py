"""What may be opened: regular files, in container formats that hold video or sound themselves, with known decoders."""

from __future__ import annotations

import os
import stat
import time
from typing import Any

from avshot.media.limits import BadFileError, Limits, Watch

# Demuxers that read one file of video or sound and nothing else. Not here: playlists and other formats that open
# further files or the network or never end (hls, dash, concat, imf, sdp, rtp, image sequences), those that run or
# generate something (lavfi, capture devices), formats that take any bytes for samples (s16le, data, rawvideo), and
# formats of games and curiosities, whose demuxers nobody looks after.
_FORMATS = """
3g2 3gp aa aac ac3 ac4 act adx aiff amr amrnb amrwb ape apng aptx aptx_hd apv asf asf_o ast au av1 avi avr avs2 avs3
bmp_pipe bonk caf cavsvideo daud dhav dirac dnxhd dpx_pipe dsf dts dtshd dv eac3 evc exr_pipe flac flic flv g722 g729
gif gif_pipe gsm gxf h261 h263 h264 hcom hdr_pipe hevc iamf ico iff ipu ircam ivf ivr j2k_pipe jpeg_pipe jpegls_pipe
jpegxl_anim jpegxl_pipe kux lc3 live_flv loas lxf m4a m4v matroska mj2 mjpeg mjpeg_2000 mlp mov mp3 mp4 mpc mpc8 mpeg
mpegts mpegtsraw mpegvideo mpjpeg mxf nistsphere nsv nut nuv obu ogg oma osq pam_pipe pbm_pipe pcx_pipe pgm_pipe
png_pipe ppm_pipe psd_pipe pva pvf qcp qoa qoi_pipe rf64 rka rm rso s337m sbc sds sgi_pipe shn sox spdif sunrast_pipe
swf tak tiff_pipe truehd tta ty vc1 vc1test voc vqf vvc w64 wav webm webp_pipe wsd wtv wv xwma yuv4mpegpipe
"""
FORMATS = frozenset(_FORMATS.split())

# Decoders of what such files hold. The others (of games, of hardware, experimental ones, and apac, which holds
# CVE-2026-125267 up to FFmpeg 8.1.2 and 9.0.1) are never run, not even to learn what a stream is.
_DECODERS = """
012v 8bps 8svx_exp 8svx_fib aac aac_fixed aac_latm ac3 ac3_fixed adpcm_adx adpcm_ct adpcm_g722 adpcm_g726
adpcm_ima_amv adpcm_ima_dk3 adpcm_ima_dk4 adpcm_ima_oki adpcm_ima_qt adpcm_ima_wav adpcm_ms adpcm_sbpro_2
adpcm_sbpro_3 adpcm_sbpro_4 adpcm_swf adpcm_yamaha aic alac als amrnb amrwb amv ape apng aptx aptx_hd apv asv1 asv2
atrac1 atrac3 atrac3al atrac3plus atrac3plusal atrac9 av1 avui ayuv bmp bonk camstudio camtasia cavs cfhd cinepak cljr
cllc comfortnoise cook cyuv dca dirac dnxhd dolby_e dpx dsd_lsbf dsd_lsbf_planar dsd_msbf dsd_msbf_planar dst dvaudio
dvvideo dxtory dxv eac3 evrc exr ffv1 ffvhuff flac flashsv flashsv2 flic flv fmvc fraps g2m g722 g723_1 g726 g726le
g728 g729 gif gsm gsm_ms h261 h263 h263i h263p h264 hap hcom hdr hevc hq_hqa hqx huffyuv hymt iac iff ilbc imc indeo2
indeo3 indeo4 indeo5 ipu jpeg2000 jpegls kmvc lagarith libdav1d libopencore_amrnb libopencore_amrwb libopus libvpx
libvpx-vp9 loco mace3 mace6 magicyuv media100 metasound mjpeg mjpegb mlp mobiclip mp1 mp1float mp2 mp2float mp3 mp3adu
mp3adufloat mp3float mp3on4 mp3on4float mpc7 mpc8 mpeg1video mpeg2video mpeg4 mpegvideo msmpeg4 msmpeg4v1 msmpeg4v2
msrle mss1 mss2 msvideo1 mszh nellymoser notchlc nuv on2avc opus osq pam pbm pcm_alaw pcm_bluray pcm_dvd pcm_f16le
pcm_f24le pcm_f32be pcm_f32le pcm_f64be pcm_f64le pcm_lxf pcm_mulaw pcm_s16be pcm_s16be_planar pcm_s16le
pcm_s16le_planar pcm_s24be pcm_s24daud pcm_s24le pcm_s24le_planar pcm_s32be pcm_s32le pcm_s32le_planar pcm_s64be
pcm_s64le pcm_s8 pcm_s8_planar pcm_u16be pcm_u16le pcm_u24be pcm_u24le pcm_u32be pcm_u32le pcm_u8 pcm_vidc pcx pgm
pgmyuv pixlet png ppm prores prores_raw psd qcelp qdm2 qdmc qoa qoi qtrle r10k r210 ra_144 ra_288 ralf rasc rawvideo
real_144 real_288 rka rpza rv10 rv20 rv30 rv40 rv60 s302m sbc screenpresso sgi sheervideo shorten sipr smc snow sp5x
speedhq speex sunrast svq1 svq3 tak targa tdsc theora tiff truehd truemotion1 truemotion2 truespeech tscc2 tta twinvq
utvideo v210 v308 v408 v410 vble vc1 vmnc vorbis vp3 vp4 vp5 vp6 vp6a vp6f vp7 vp8 vp9 vvc wavpack webp wmalossless
wmapro wmav1 wmav2 wmavoice wmv1 wmv2 wmv3 wrapped_avframe y41p ylc yuv4 zlib zmbv
"""
DECODERS = frozenset(_DECODERS.split())

# How files begin that name other files, for a message that says what they are.
_NAMING_OTHERS = (
    (b"#EXTM3U", "hls", "a playlist"),
    (b"ffconcat", "concat", "a list of files"),
    (b";FFMETADATA", "ffmetadata", "a list of tags"),
    (b"v=0", "sdp", "a description of network streams"),
    (b"[playlist]", "pls", "a playlist"),
    (b"<asx", "asx", "a playlist"),
)
_IN_XML = (
    (b"<MPD", "dash", "a playlist"),
    (b"SmoothStreamingMedia", "smooth streaming", "a playlist"),
    (b"CompositionPlaylist", "imf", "a playlist"),
    (b"<svg", "svg", "a drawing"),
)


def open_file(path: str, limits: Limits, watch: Watch) -> Any:
    """Open a local regular file with FFmpeg, within the time that the watch leaves.

    PyAV is silent unless its logging was switched on. Setting a level, even PANIC, would install a log callback that
    takes the interpreter's lock in FFmpeg's own threads, and closing a threaded decoder then hangs.

    Raises:
        BadFileError: Not a regular file, empty, or of a format that is not in `FORMATS`.
        av.error.FFmpegError: FFmpeg cannot read it.
    """
    import av

    _check_regular(path)
    # "file:" keeps names with a colon from being taken for a protocol; the white lists keep a file from reaching others
    # and the network. FFmpeg decodes the first pictures to learn what the streams are; nobody sees those, so they need
    # no loop filter. These options do not reach the decoders that PyAV opens afterwards.
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(sorted(FORMATS)),
        "codec_whitelist": ",".join(sorted(DECODERS)),
        "enable_drefs": "0",
        "use_absolute_path": "0",
        "skip_loop_filter": "all",
        "max_pixels": str(limits.pixels),
    }
    begun, left = time.monotonic(), watch.left
    asked: dict[str, Any] = {"options": options, "timeout": (left, limits.patience / 2)}
    try:
        return av.open(f"file:{path}", **asked)
    except UnicodeDecodeError:  # PyAV 18 decodes tags strictly unless told otherwise; 19 knows no such argument
        return av.open(f"file:{path}", metadata_errors="ignore", **asked)
    except av.error.FFmpegError as problem:
        if time.monotonic() - begun >= left:
            raise BadFileError(
                f"reading its header took longer than half of limits.patience = {limits.patience:g} s: it is padded or "
                "damaged, or the disk is very slow"
            ) from problem
        refusal = _refusal(path, isinstance(problem, av.error.ArgumentError))
        if refusal is None:
            raise
        raise BadFileError(refusal) from problem


def may_decode(stream: Any) -> bool:
    """Whether a stream has a decoder that is among `DECODERS`."""
    context = stream.codec_context
    return context is not None and context.name in DECODERS


def reason(problem: Exception) -> str:
    """A sentence, without its full stop, for what FFmpeg or the system said."""
    said = getattr(problem, "strerror", None) or str(problem)
    return f"not a readable video or sound file, or cut off before its index ({said})"


def _check_regular(path: str) -> None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise BadFileError("the file does not exist") from None
    except (OSError, ValueError) as problem:  # no permission, a loop of links, a NUL in the name
        said = getattr(problem, "strerror", None) or str(problem)
        raise BadFileError(f"the file cannot be reached ({said})") from problem
    if stat.S_ISDIR(found.st_mode):
        raise BadFileError("the path is a folder; expected a video or sound file")
    if not stat.S_ISREG(found.st_mode):
        raise BadFileError("the path is a device, pipe or socket; expected a regular file")
    if found.st_size == 0:
        raise BadFileError("the file is empty (0 bytes)")


def _refusal(path: str, refused: bool) -> str | None:
    """Why FFmpeg did not take a file, as a sentence without its full stop; None when it just cannot read it."""
    with open(path, "rb") as file:
        head = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    marks = [mark for mark in _NAMING_OTHERS if head.lower().startswith(mark[0].lower())]
    marks += [mark for mark in _IN_XML if head.startswith(b"<") and mark[0] in head]
    if marks:
        _, name, what = marks[0]
        return f"it is {what} (format {name!r}), which names other files; only files that hold video or sound are read"
    if not refused:
        return None
    return (
        "its format is not one of the video and sound formats that are read, or its header is damaged "
        "(FFmpeg chose no demuxer of the allow-list)"
    )
