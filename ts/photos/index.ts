// clip-es/photos: reads photos, writes masks and overlays. Needs sharp, except for class files and colours.
export { readClassFile } from './class_file.js'
export { encodeConfidence } from './confidence_png.js'
export { joinHoles } from './join_holes.js'
export type { LegendEntry } from './legend.js'
export { type EncodeMaskOptions, encodeMask, type LabelMap, readMask } from './mask_png.js'
export { drawOverlay, type OverlayLabel, type OverlayOptions } from './overlay.js'
export { type Colour, hexColour, maskPalette, parseColour, vividColour, vocColour } from './palette.js'
export { type Region, type Ring, traceRegions } from './polygons.js'
export { type Orientation, type Photo, photoExtensions, type ReadPhotoOptions, readPhoto } from './read_photo.js'
export {
  type CocoRle,
  type CompressedCocoRle,
  compressRle,
  decodeRle,
  decompressRle,
  encodeRings,
  encodeRle,
} from './rle.js'
export type { FileSource } from './source.js'
