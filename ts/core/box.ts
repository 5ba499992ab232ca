/** A part of a grid or of a photo, `right` and `bottom` exclusive. */
export interface Box {
  left: number
  top: number
  right: number
  bottom: number
}
