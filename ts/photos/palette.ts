import { invalid } from '../core/errors.js'

/** Red, green, blue: 0 to 255 each. */
export type Colour = readonly [number, number, number]

/** Pascal VOC's colour of a label: the value's bits dealt out to red, green and blue in turn, most significant bits first. */
export function vocColour(value: number): Colour {
  let [r, g, b] = [0, 0, 0]
  for (let bit = 7, rest = value; rest > 0; bit--, rest >>= 3) {
    r |= (rest & 1) << bit
    g |= ((rest >> 1) & 1) << bit
    b |= ((rest >> 2) & 1) << bit
  }
  return [r, g, b]
}

/** '#rrggbb' or '#rgb', as class files write colours. */
export function parseColour(text: string): Colour {
  const short = /^#([0-9a-f])([0-9a-f])([0-9a-f])$/i.exec(text)
  const long = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(text)
  const parts = short?.slice(1).map((digit) => digit + digit) ?? long?.slice(1)
  if (!parts) throw invalid(`'${text}' is not a colour; write it as '#rrggbb' or '#rgb', such as '#1e90ff'`)
  const [r, g, b] = parts.map((part) => Number.parseInt(part, 16)) as [number, number, number]
  return [r, g, b]
}

/** '#rrggbb'. */
export const hexColour = (colour: Colour): string => `#${colour.map((part) => part.toString(16).padStart(2, '0')).join('')}`

/**
 * The 256 colours of a mask (256 * 3 bytes): VOC's, except for the classes that have their own.
 * `colours[c]` belongs to class c, whose value in a mask is c + 1.
 */
export function maskPalette(colours: readonly (string | undefined)[] = []): Uint8Array {
  const palette = new Uint8Array(256 * 3)
  for (let value = 0; value < 256; value++) {
    const own = value === 0 ? undefined : colours[value - 1]
    palette.set(own === undefined ? vocColour(value) : parseColour(own), value * 3)
  }
  return palette
}

const vivid = ['#ff5a5f', '#2f9bff', '#ffc531', '#35c97a', '#b06cff', '#ff8b3d', '#16c5c9', '#ff70b8', '#a9d62f', '#8291ff'].map(
  parseColour,
)

/**
 * Colours for drawing over photos: VOC's are made to differ by value, not to be seen (many are nearly black). The first ten are
 * chosen, the rest run round the hues by the golden angle.
 */
export function vividColour(index: number): Colour {
  const chosen = vivid[index]
  if (chosen) return chosen
  const hue = (index * 137.508) % 360
  const lightness = 0.55 + 0.1 * (index % 3)
  const channel = (offset: number): number => {
    const k = (offset + hue / 30) % 12
    const saturated = 0.8 * Math.min(lightness, 1 - lightness)
    return Math.round(255 * (lightness - saturated * Math.max(-1, Math.min(k - 3, 9 - k, 1))))
  }
  return [channel(0), channel(8), channel(4)]
}
