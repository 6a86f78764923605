//! Real pictures come out in three sizes, hostile ones are refused.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use mela_base::{ErrorKind, Fault};
use mela_media::{CARD_PX, FULL_PX, Kind, Limits, MediaError, Renditions, THUMBNAIL_PX, render};
use proptest::prelude::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| {
            panic!("this test needs the pictures in {}: {e}", folder.display())
        });
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn take(bytes: &[u8]) -> Result<Renditions, MediaError> {
    render(bytes, &Limits::default())
}

fn code(bytes: &[u8]) -> &'static str {
    let error = take(bytes).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    error.code()
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    image.write_to(&mut out, format).unwrap();
    out.into_inner()
}

fn check(r: &Renditions) {
    for (rendition, longest) in
        [(&r.thumbnail, THUMBNAIL_PX), (&r.card, CARD_PX), (&r.full, FULL_PX)]
    {
        assert!(rendition.width.max(rendition.height) <= longest);
        let back = image::load_from_memory_with_format(&rendition.webp, ImageFormat::WebP).unwrap();
        assert_eq!((back.width(), back.height()), (rendition.width, rendition.height));
        for metadata in [&b"EXIF"[..], b"XMP ", b"ICCP"] {
            assert!(!rendition.webp.windows(4).any(|w| w == metadata));
        }
    }
}

#[test]
fn real_photos() {
    let photos = files(&root().join("../shared/data/magento-luma/media"), "jpg");
    assert!(photos.len() >= 100);
    for path in photos.iter().step_by(20) {
        let bytes = std::fs::read(path).unwrap();
        let r = take(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(r.kind, Kind::Jpeg);
        check(&r);
        assert_eq!(r.thumbnail.width.max(r.thumbnail.height), THUMBNAIL_PX);
        assert!(r.card.webp.len() < 60_000, "{:?}", r.card);
        // Cut anywhere, it is a refusal or a picture with a grey rest, never a panic.
        for cut in [2, 20, bytes.len() / 2] {
            let _ = take(&bytes[..cut]);
        }
        assert_eq!(code(&bytes[..100]), "IMAGE_UNREADABLE");
    }
}

#[test]
fn the_demo_shop_is_drawn() {
    let drawings = files(&root().join("app/mela/demo-shop/media"), "svg");
    assert!(drawings.len() >= 139);
    for path in drawings.iter().step_by(8) {
        let r = take(&std::fs::read(path).unwrap())
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!((r.kind, r.full.width, r.full.height), (Kind::Svg, FULL_PX, FULL_PX));
        check(&r);
    }
}

/// The whole demo shop within the limits: refusals come before drawing, so this is quick enough.
#[test]
#[ignore = "draws 158 pictures, half a minute"]
fn all_of_the_demo_shop_is_drawn() {
    for path in files(&root().join("app/mela/demo-shop/media"), "svg") {
        take(&std::fs::read(&path).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}

#[test]
fn sizes_follow_the_picture() {
    let wide = DynamicImage::from(RgbImage::from_pixel(3_000, 10, Rgb([200, 30, 30])));
    let r = take(&encoded(&wide, ImageFormat::Png)).unwrap();
    assert_eq!((r.full.width, r.full.height), (1_200, 4));
    assert_eq!((r.thumbnail.width, r.thumbnail.height), (200, 1));
    check(&r);
    let small = DynamicImage::from(RgbImage::from_pixel(30, 20, Rgb([1, 2, 3])));
    for format in [ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP, ImageFormat::Jpeg] {
        let r = take(&encoded(&small, format)).unwrap();
        assert_eq!(
            (r.thumbnail.width, r.full.width, r.full.height),
            (30, 30, 20),
            "never upscaled"
        );
    }
    let deep =
        DynamicImage::ImageLuma16(image::ImageBuffer::from_pixel(5, 5, image::Luma([40_000_u16])));
    check(&take(&encoded(&deep, ImageFormat::Png)).unwrap());
}

#[test]
fn photos_stand_upright_and_tell_nothing() {
    let mut picture = RgbImage::from_pixel(60, 40, Rgb([255, 255, 255]));
    for x in 0..20 {
        for y in 0..20 {
            picture.put_pixel(x, y, Rgb([0, 0, 0]));
        }
    }
    let plain = encoded(&picture.into(), ImageFormat::Jpeg);
    // Orientation 6: the camera was turned, the top left belongs at the top right.
    let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let mut bytes = plain[..2].to_vec();
    bytes.extend([0xff, 0xe1, 0, u8::try_from(exif.len() + 2).unwrap()]);
    bytes.extend(exif);
    bytes.extend(&plain[2..]);
    let r = take(&bytes).unwrap();
    check(&r);
    assert_eq!((r.full.width, r.full.height), (40, 60));
    let back = image::load_from_memory(&r.full.webp).unwrap().into_rgb8();
    assert!(
        back.get_pixel(35, 5)[0] < 60
            && back.get_pixel(5, 5)[0] > 200
            && back.get_pixel(5, 55)[0] > 200
    );
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, b| {
        (0..8).fold(
            crc ^ u32::from(*b),
            |c, _| if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 },
        )
    })
}

/// A PNG of `real` size whose header claims another.
fn lying_png(real: (u32, u32), claimed: (u32, u32)) -> Vec<u8> {
    let mut png = encoded(&DynamicImage::new_luma8(real.0, real.1), ImageFormat::Png);
    png[16..20].copy_from_slice(&claimed.0.to_be_bytes());
    png[20..24].copy_from_slice(&claimed.1.to_be_bytes());
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    png
}

#[test]
fn bombs_are_refused_before_they_are_decoded() {
    assert_eq!(code(&lying_png((1, 1), (60_000, 60_000))), "IMAGE_TOO_LARGE");
    assert_eq!(code(&lying_png((1, 1), (12_001, 1))), "IMAGE_TOO_LARGE");
    assert_eq!(code(&lying_png((1, 1), (7_000, 6_000))), "IMAGE_TOO_LARGE");
    assert_eq!(code(&lying_png((1, 1), (0, 5))), "IMAGE_UNREADABLE");
    assert_eq!(code(&lying_png((1, 1), (6_000, 6_000))), "IMAGE_UNREADABLE", "too little data");
    // Thirty megabytes of zeros behind a header of 10 × 10: the rest is never unpacked.
    match take(&lying_png((6_000, 5_000), (10, 10))) {
        Ok(r) => assert_eq!(r.full.width, 10),
        Err(e) => assert_eq!(e.code(), "IMAGE_UNREADABLE"),
    }
    // A GIF that claims the largest size its header can say; a WebP of which only such a header came.
    let mut gif = encoded(&DynamicImage::new_rgb8(2, 2), ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[0xff; 4]);
    assert_eq!(code(&gif), "IMAGE_TOO_LARGE");
    let mut webp = b"RIFF\x1e\0\0\0WEBPVP8L\x11\0\0\0\x2f".to_vec();
    webp.extend([0xff, 0xff, 0xff, 0x0f]);
    webp.extend([0; 20]);
    assert!(["IMAGE_TOO_LARGE", "IMAGE_UNREADABLE"].contains(&code(&webp)));
    let mut long = encoded(&DynamicImage::new_rgb8(2, 2), ImageFormat::Png);
    long.resize((20 << 20) + 1, 0);
    assert_eq!(code(&long), "IMAGE_TOO_LARGE");
}

#[test]
fn only_pictures_are_taken() {
    for not_a_picture in
        [&b""[..], b"hello", b"<html><body>no</body></html>", b"%PDF-1.7", b"PK\x03\x04", b"BM6\0"]
    {
        assert_eq!(code(not_a_picture), "IMAGE_KIND_UNKNOWN");
    }
    assert_eq!(code(b"\xff\xd8\xff"), "IMAGE_UNREADABLE");
    assert_eq!(code(b"GIF89a"), "IMAGE_UNREADABLE");
}

fn svg(inner: &str) -> Vec<u8> {
    format!(r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{inner}</svg>"#)
        .into_bytes()
}

#[test]
fn hostile_vectors() {
    let laughs = br#"<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "haha"><!ENTITY b "&a;&a;&a;&a;">]><svg xmlns="http://www.w3.org/2000/svg">&b;</svg>"#;
    let external = br#"<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg"><text>&x;</text></svg>"#;
    for bytes in [&laughs[..], external] {
        assert_eq!(code(bytes), "IMAGE_SVG_REFUSED");
    }
    let refused = [
        "<text>hello</text>".to_owned(),
        r#"<image href="http://127.0.0.1/a.png" width="9" height="9"/>"#.to_owned(),
        r#"<image href="data:image/png;base64,AAAA" width="9" height="9"/>"#.to_owned(),
        r##"<use href="other.svg#a"/>"##.to_owned(),
        r#"<rect width="9" height="9" fill="url(http://127.0.0.1/a.svg#p)"/>"#.to_owned(),
        "<script>alert(1)</script>".to_owned(),
        "<foreignObject/>".to_owned(),
        r#"<filter id="f"><feGaussianBlur stdDeviation="9999"/></filter>"#.to_owned(),
        "<style>@import url(http://127.0.0.1/a.css);</style>".to_owned(),
        r##"<g id="a"><use href="#a"/></g>"##.to_owned(),
        format!("{}{}", "<g>".repeat(5_000), "</g>".repeat(5_000)),
        "<g/>".repeat(30_000),
        "<rect width='1' height='1'/>".repeat(6_000),
        // Ten generations of ten: a thousand million squares from a kilobyte.
        format!(
            "<defs><rect id='r0' width='1' height='1'/>{}</defs><use href='#r9'/>",
            (1..10)
                .map(|i| format!("<g id='r{i}'>{}</g>", format!("<use href='#r{}'/>", i - 1).repeat(10)))
                .collect::<String>()
        ),
        // One long outline, drawn again and again.
        format!(
            "<path id='p' d='M0 0{}'/>{}",
            "L99 99L0 9".repeat(9_000),
            "<use href='#p'/>".repeat(9)
        ),
        // Millions of dashes, thousands of full surfaces.
        "<path stroke='red' stroke-dasharray='.001' d='M0 0L99 99L0 9'/>".repeat(9),
        "<rect width='100' height='100'/>".repeat(4_000),
        // Tiles and layers of gigapixels.
        "<pattern id='p' width='90000' height='90000' patternUnits='userSpaceOnUse'><rect width='9' height='9'/></pattern><rect width='99' height='99' fill='url(#p)'/>".to_owned(),
        format!(
            "{}<rect x='-900' y='-900' width='9999' height='9999'/>{}",
            "<g opacity='.9'><rect width='1' height='1'/>".repeat(40),
            "</g>".repeat(40)
        ),
    ];
    for inner in refused {
        assert_eq!(code(&svg(&inner)), "IMAGE_SVG_REFUSED", "{}", &inner[..inner.len().min(200)]);
    }
    let mut long = svg("");
    long.resize((256 << 10) + 1, b' ');
    assert_eq!(code(&long), "IMAGE_TOO_LARGE");
    assert_eq!(code(b"<svg"), "IMAGE_SVG_REFUSED");
    assert_eq!(
        code(b"<svg xmlns='http://www.w3.org/2000/svg' width='0' height='5'/>"),
        "IMAGE_UNREADABLE"
    );
}

#[test]
fn a_huge_canvas_is_only_a_scale() {
    let bytes = br#"<svg xmlns="http://www.w3.org/2000/svg" width="1000000" height="500000"><rect width="1000000" height="500000" fill="red"/></svg>"#;
    let r = take(bytes).unwrap();
    assert_eq!((r.full.width, r.full.height), (1_200, 600));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600), kind in 0..6_usize) {
        let magic: [&[u8]; 6] = [b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\xff\0\0\0WEBPVP8 ", b"<svg "];
        let mut input = magic[kind].to_vec();
        input.extend(bytes);
        if let Err(e) = take(&input) {
            prop_assert_eq!(e.kind(), ErrorKind::Invalid);
        }
    }

    #[test]
    fn damage_never_panics(at in 0..100_usize, value in any::<u8>(), format in 0..4_usize) {
        let format = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP][format];
        let mut bytes = encoded(&DynamicImage::new_rgb8(40, 30), format);
        let at = at * bytes.len() / 100;
        bytes[at] = value;
        match take(&bytes) {
            Ok(r) => prop_assert!(r.full.width <= FULL_PX),
            Err(e) => prop_assert_eq!(e.kind(), ErrorKind::Invalid),
        }
    }
}
