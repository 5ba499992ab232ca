export { readClassFile } from './class_file.js'
export { joinHoles } from './join_holes.js'
export { escapeXml, percent } from './legend.js'
export { markChunks, ownPicture, photoOfMask, sourceOfMask } from './mark.js'
export { type OverlayLabel, renderOverlay } from './overlay.js'
export { type Colour, hexColour, maskPalette, parseColour, vividColour, vocColour } from './palette.js'
export { decodeLabels, encodeLabels, type LabelMap } from './png.js'
export { colourType, pixelChunk, pngFile, rowFilter } from './png_file.js'
export { type Region, type Ring, traceRegions } from './polygons.js'
export { decodePhoto, type Photo } from './read_photo.js'
export {
  type CocoRle,
  type CompressedCocoRle,
  compressRle,
  decodeRle,
  decompressRle,
  encodeRings,
  encodeRle,
} from './rle.js'
