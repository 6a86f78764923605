//! Vector pictures: shapes and colours only, and no more of them than can be drawn quickly.

use std::collections::HashMap;

use image::{DynamicImage, RgbaImage};
use mela_base::Internal;
use resvg::tiny_skia::{PathSegment, Pixmap, Point, Transform};
use resvg::usvg::roxmltree::{Document, Node, ParsingOptions};
use resvg::usvg::{Group, Node as Shape, Options, Paint, Path, Tree};

use crate::{FULL_PX, MediaError};

/// Elements in the file.
const MAX_NODES: u32 = 20_000;
/// Elements inside elements; drawing recurses.
const MAX_DEPTH: usize = 64;
/// What drawing may cost, in shapes: everything that is referred to counts as often as it is drawn.
const MAX_COST: u64 = 5_000;
/// A layer or a dashed line costs as much as several plain shapes.
const DEAR: u64 = 20;
/// So many bytes of outline cost as much as one more shape.
const PATH_BYTES: usize = 100;
/// Pixels of all layers, masks and pattern tiles together; at four bytes each they are also the
/// memory that drawing can take at worst, when all of them are nested.
const MAX_SET_ASIDE: u64 = 64_000_000;
/// Pixels that are painted, each as often as something covers it: some seconds at worst.
const MAX_PAINTED: u64 = 600_000_000;
/// Dashes of all dashed lines together.
const MAX_DASHES: u64 = 200_000;

pub(crate) fn draw(bytes: &[u8]) -> Result<DynamicImage, MediaError> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| MediaError::SvgRefused("is not UTF-8 text"))?;
    // No DTD: no entities, so nothing can be read from elsewhere or multiplied.
    let options =
        ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|e| {
        use resvg::usvg::roxmltree::Error;
        MediaError::SvgRefused(match e {
            Error::DtdDetected => "has a DOCTYPE or entities: remove them",
            Error::NodesLimitReached => "has too many elements: simplify it",
            _ => "is not well-formed XML: save it again as plain SVG",
        })
    })?;
    check(&document)?;
    let tree =
        Tree::from_xmltree(&document, &Options::default()).map_err(|_| MediaError::Unreadable)?;
    let (width, height) = (tree.size().width(), tree.size().height());
    // Vectors have no pixels of their own: they are drawn at the largest size that is shown.
    let scale = FULL_PX as f32 / width.max(height);
    let side = |length: f32| ((length * scale).round() as u32).clamp(1, FULL_PX);
    let (to_width, to_height) = (side(width), side(height));
    let mut work = Work::default();
    work.measure(tree.root(), Transform::from_scale(scale, scale));
    if work.set_aside > MAX_SET_ASIDE || work.painted > MAX_PAINTED || work.dashes > MAX_DASHES {
        return Err(MediaError::SvgRefused(
            "has too many large layers, patterns, surfaces or dashes: simplify it",
        ));
    }
    let mut pixmap = Pixmap::new(to_width, to_height)
        .ok_or_else(|| Internal::new("no pixmap for a checked size"))?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixmap.as_mut());
    let image = RgbaImage::from_raw(to_width, to_height, pixmap.take_demultiplied())
        .ok_or_else(|| Internal::new("pixmap length"))?;
    let opaque = image.pixels().all(|p| p[3] == u8::MAX);
    let image = DynamicImage::ImageRgba8(image);
    Ok(if opaque { image.into_rgb8().into() } else { image })
}

fn check(document: &Document<'_>) -> Result<(), MediaError> {
    let mut by_id = HashMap::new();
    for node in document.descendants().filter(Node::is_element) {
        if node.ancestors().take(MAX_DEPTH + 2).count() > MAX_DEPTH {
            return Err(MediaError::SvgRefused("is nested too deeply: flatten its groups"));
        }
        match node.tag_name().name() {
            "text" | "tspan" | "textPath" => {
                return Err(MediaError::SvgRefused("has text: convert the text to paths"));
            }
            "image" | "feImage" => {
                return Err(MediaError::SvgRefused("has a picture inside: send that picture"));
            }
            "marker" => return Err(MediaError::SvgRefused("has markers: convert them to paths")),
            "script" | "foreignObject" | "iframe" => {
                return Err(MediaError::SvgRefused("has a script or foreign content: remove it"));
            }
            "filter" => return Err(MediaError::SvgRefused("has filter effects: remove them")),
            "style" => {
                let css = node.text().unwrap_or_default();
                if [
                    "url",
                    "@import",
                    "dasharray",
                    "opacity",
                    "mask",
                    "clip",
                    "filter",
                    "blend",
                    "\\",
                    "marker",
                ]
                .iter()
                .any(|dear| css.contains(dear))
                {
                    return Err(MediaError::SvgRefused(
                        "has a style sheet that does more than colours: use attributes instead",
                    ));
                }
            }
            _ => {}
        }
        if let Some(id) = node.attribute("id") {
            by_id.entry(id).or_insert(node);
        }
    }
    let mut costs = HashMap::new();
    if cost(document.root_element(), &by_id, &mut costs, 0)? > MAX_COST {
        return Err(MediaError::SvgRefused("would take too long to draw: simplify it"));
    }
    Ok(())
}

/// Shapes drawn for `node`, with everything in it and everything that it refers to.
fn cost<'a>(
    node: Node<'a, 'a>,
    by_id: &HashMap<&'a str, Node<'a, 'a>>,
    known: &mut HashMap<Node<'a, 'a>, u64>,
    depth: usize,
) -> Result<u64, MediaError> {
    if let Some(cost) = known.get(&node) {
        return Ok(*cost);
    }
    // A chain that is longer than the file may be deep is a circle, or as good as one.
    if depth > MAX_DEPTH {
        return Err(MediaError::SvgRefused("refers to itself or too deeply: flatten it"));
    }
    let mut sum = 1;
    for attribute in node.attributes() {
        let (name, value) = (attribute.name(), attribute.value());
        if name == "d" || name == "points" {
            sum += (value.len() / PATH_BYTES) as u64;
        }
        if name.contains("dasharray") || value.contains("dasharray") {
            sum += DEAR;
        }
        let layer = ["opacity", "mask", "clip-path", "mix-blend-mode", "isolation"];
        if layer.contains(&name) || (name == "style" && layer.iter().any(|l| value.contains(l))) {
            sum += DEAR;
        }
        if name == "href" {
            let Some(id) = value.trim().strip_prefix('#') else {
                return Err(MediaError::SvgRefused(
                    "refers to something outside of itself: remove the link",
                ));
            };
            if let Some(target) = by_id.get(id) {
                sum += cost(*target, by_id, known, depth + 1)?;
            }
        }
        for reference in value.split("url(").skip(1) {
            let id = reference.split(')').next().unwrap_or_default().trim_matches([' ', '"', '\'']);
            let Some(id) = id.strip_prefix('#') else {
                return Err(MediaError::SvgRefused(
                    "refers to something outside of itself: remove the link",
                ));
            };
            if let Some(target) = by_id.get(id) {
                sum += cost(*target, by_id, known, depth + 1)?;
            }
        }
    }
    for child in node.children().filter(Node::is_element) {
        sum = sum.saturating_add(cost(child, by_id, known, depth + 1)?);
    }
    // Long before this many the answer is no; keeping it small keeps sums from overflowing.
    let sum = sum.min(MAX_COST + 1);
    known.insert(node, sum);
    Ok(sum)
}

/// What drawing a tree takes, computed as the renderer will do it.
#[derive(Default)]
struct Work {
    set_aside: u64,
    painted: u64,
    dashes: u64,
}

/// Pixels of a box; the renderer cuts layers off at five times the canvas.
fn pixels(width: f32, height: f32) -> u64 {
    let side = |length: f32| length.min(5.0 * FULL_PX as f32);
    (side(width) * side(height)) as u64
}

impl Work {
    fn measure(&mut self, group: &Group, transform: Transform) {
        for shape in group.children() {
            match shape {
                Shape::Group(inner) => {
                    let transform = transform.pre_concat(inner.transform());
                    if inner.should_isolate() {
                        let bounds = inner.layer_bounding_box().transform(transform);
                        let own = bounds.map_or(0, |b| pixels(b.width(), b.height()));
                        let clips = u64::from(inner.clip_path().is_some());
                        let masks = u64::from(inner.mask().is_some());
                        let all = own.saturating_mul(1 + 2 * clips + 4 * masks);
                        self.set_aside = self.set_aside.saturating_add(all);
                        self.painted = self.painted.saturating_add(all);
                    }
                    shape.subroots(|root| self.measure(root, transform));
                    self.measure(inner, transform);
                }
                Shape::Path(path) => self.measure_path(path, transform),
                Shape::Image(_) | Shape::Text(_) => {}
            }
        }
    }

    fn measure_path(&mut self, path: &Path, transform: Transform) {
        if let Some(b) = path.stroke_bounding_box().transform(transform) {
            let canvas = FULL_PX as f32;
            let covered = pixels(b.width().min(canvas), b.height().min(canvas));
            let paints = u64::from(path.fill().is_some()) + u64::from(path.stroke().is_some());
            self.painted = self.painted.saturating_add(covered.saturating_mul(paints));
        }
        if let Some(dashes) = path.stroke().and_then(|s| s.dasharray()) {
            let count = outline_length(path) / dashes.iter().sum::<f32>() * dashes.len() as f32;
            self.dashes = self.dashes.saturating_add(count as u64);
        }
        let paints = [path.fill().map(|f| f.paint()), path.stroke().map(|s| s.paint())];
        for paint in paints.into_iter().flatten() {
            if let Paint::Pattern(pattern) = paint {
                let (sx, sy) = transform.pre_concat(pattern.transform()).get_scale();
                let rect = pattern.rect();
                // Tiles are not cut off: their true size counts.
                let tile = (rect.width() * sx * rect.height() * sy) as u64;
                self.set_aside = self.set_aside.saturating_add(tile);
                self.painted = self.painted.saturating_add(tile);
                self.measure(pattern.root(), Transform::from_scale(sx, sy));
            }
        }
    }
}

/// Length of the outline, curves by their control points: never too short.
fn outline_length(path: &Path) -> f32 {
    let (mut start, mut last) = (Point::zero(), Point::zero());
    let mut length = 0.0;
    for segment in path.data().segments() {
        let stops: &[Point] = match &segment {
            PathSegment::MoveTo(p) => {
                (start, last) = (*p, *p);
                &[]
            }
            PathSegment::LineTo(p) => &[*p],
            PathSegment::QuadTo(a, p) => &[*a, *p],
            PathSegment::CubicTo(a, b, p) => &[*a, *b, *p],
            PathSegment::Close => &[start],
        };
        for stop in stops {
            length += last.distance(*stop);
            last = *stop;
        }
    }
    length
}
