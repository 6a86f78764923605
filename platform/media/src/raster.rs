//! Pixels: decoding under limits, turning upright, shrinking.

use std::io::Cursor;

use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};
use image::metadata::Orientation;
use image::{DynamicImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader};
use mela_base::Internal;

use crate::{FULL_PX, Limits, MediaError};

/// Decodes, shrinks to [`FULL_PX`] and turns upright, in this order: turning is cheap once small.
pub(crate) fn decode(
    bytes: &[u8],
    format: ImageFormat,
    limits: &Limits,
) -> Result<DynamicImage, MediaError> {
    let mut decoder_limits = image::Limits::no_limits();
    decoder_limits.max_alloc = Some(limits.max_decoder_bytes);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(decoder_limits);
    let mut decoder = reader.into_decoder().map_err(|_| MediaError::Unreadable)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, limits)?;
    // The pixels count too, and some decoders reserve them outside of their own limit.
    if decoder.total_bytes() > limits.max_decoder_bytes {
        return Err(too_many_pixels(width, height, limits));
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(|_| MediaError::Unreadable)?;
    let image = match image {
        DynamicImage::ImageRgb8(_) | DynamicImage::ImageRgba8(_) => image,
        other if other.color().has_alpha() => other.into_rgba8().into(),
        other => other.into_rgb8().into(),
    };
    let mut image = shrink(&image, FULL_PX)?.unwrap_or(image);
    image.apply_orientation(orientation);
    Ok(image)
}

fn check_size(width: u32, height: u32, limits: &Limits) -> Result<(), MediaError> {
    if width == 0 || height == 0 {
        return Err(MediaError::Unreadable);
    }
    let pixels = u64::from(width) * u64::from(height);
    if width.max(height) > limits.max_side || pixels > limits.max_pixels {
        return Err(too_many_pixels(width, height, limits));
    }
    Ok(())
}

fn too_many_pixels(width: u32, height: u32, limits: &Limits) -> MediaError {
    MediaError::TooManyPixels {
        width,
        height,
        max_side: limits.max_side,
        max_pixels: limits.max_pixels,
    }
}

/// The same picture with `longest` pixels on the longer side, or `None` if it has no more already.
pub(crate) fn shrink(
    image: &DynamicImage,
    longest: u32,
) -> Result<Option<DynamicImage>, MediaError> {
    let (width, height) = (image.width(), image.height());
    if width.max(height) <= longest {
        return Ok(None);
    }
    let scaled = |side: u32| {
        let exact =
            (u64::from(side) * u64::from(longest) * 2 / u64::from(width.max(height))).div_ceil(2);
        u32::try_from(exact).unwrap_or(longest).clamp(1, longest)
    };
    let (to_width, to_height) = (scaled(width), scaled(height));
    let internal =
        |e: &dyn std::fmt::Display| MediaError::from(Internal::new(format_args!("resize: {e}")));
    let pixels = if image.color().has_alpha() { PixelType::U8x4 } else { PixelType::U8x3 };
    let from = ImageRef::new(width, height, image.as_bytes(), pixels).map_err(|e| internal(&e))?;
    let mut to = Image::new(to_width, to_height, pixels);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    Resizer::new().resize(&from, &mut to, &options).map_err(|e| internal(&e))?;
    let shrunk = if pixels == PixelType::U8x4 {
        ImageBuffer::from_raw(to_width, to_height, to.into_vec()).map(DynamicImage::ImageRgba8)
    } else {
        ImageBuffer::from_raw(to_width, to_height, to.into_vec()).map(DynamicImage::ImageRgb8)
    };
    shrunk.map(Some).ok_or_else(|| internal(&"wrong buffer length"))
}
