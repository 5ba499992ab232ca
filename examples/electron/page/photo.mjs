// Photos as pixels. The browser decodes them, turned as their EXIF orientation says.

const longestSide = 1600 // pixels: more cannot be seen in the window

/**
 * Draws a photo on a canvas, reduced if it is larger than the window can show.
 * @param {File} file
 * @param {HTMLCanvasElement} canvas
 * @returns {Promise<ImageData>} the pixels as drawn
 */
export async function drawPhoto(file, canvas) {
  const bitmap = await decode(file)
  const scale = Math.min(1, longestSide / Math.max(bitmap.width, bitmap.height))
  canvas.width = Math.max(1, Math.round(bitmap.width * scale))
  canvas.height = Math.max(1, Math.round(bitmap.height * scale))
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d', { willReadFrequently: true }))
  context.imageSmoothingQuality = 'high'
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height)
  bitmap.close()
  return context.getImageData(0, 0, canvas.width, canvas.height)
}

/** @param {File} file */
async function decode(file) {
  try {
    return await createImageBitmap(file)
  } catch {
    throw new Error(`${file.name} is not a photo that can be shown; convert it to JPEG, PNG, WebP or AVIF and open that`)
  }
}
