const opacity = 150 // of 255

/** @typedef {readonly [red: number, green: number, blue: number]} Colour */

/** @type {readonly Colour[]} */
const colours = [
  [255, 90, 95],
  [47, 155, 255],
  [255, 197, 49],
  [53, 201, 122],
  [176, 108, 255],
  [255, 139, 61],
  [22, 197, 201],
  [255, 112, 184],
]

/**
 * The colour of a label by its index; colours repeat.
 * @param {number} index
 */
export const colourOf = (index) => /** @type {Colour} */ (colours[index % colours.length])

/**
 * Draws each label's pixels in its colour. The background stays clear.
 * @param {HTMLCanvasElement} canvas
 * @param {{ mask: Uint8Array, width: number, height: number }} masks
 */
export function drawMasks(canvas, { mask, width, height }) {
  canvas.width = width
  canvas.height = height
  const image = new ImageData(width, height)
  for (const [pixel, value] of mask.entries()) if (value > 0) image.data.set([...colourOf(value - 1), opacity], 4 * pixel)
  canvas.getContext('2d')?.putImageData(image, 0, 0)
}

/** @param {HTMLCanvasElement} canvas */
export function clearMasks(canvas) {
  canvas.getContext('2d')?.clearRect(0, 0, canvas.width, canvas.height)
}

/**
 * Each label's colour, and how much of the photo it covers.
 * @param {HTMLElement} list
 * @param {{ mask: Uint8Array, labels: string[] }} masks
 */
export function showLegend(list, { mask, labels }) {
  const pixels = new Uint32Array(256)
  for (const value of mask) pixels[value]++
  list.replaceChildren(
    ...labels.map((label, i) => {
      const item = document.createElement('li')
      const swatch = document.createElement('i')
      swatch.style.background = `rgb(${colourOf(i).join(' ')})`
      const share = document.createElement('small')
      share.textContent = ` ${Math.round((100 * (pixels[i + 1] ?? 0)) / mask.length)} % of the photo`
      item.append(swatch, label, share)
      return item
    }),
  )
}
