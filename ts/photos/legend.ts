import { type Colour, hexColour } from './palette.js'

/** A line of a legend. */
export interface LegendEntry {
  name: string
  colour: Colour
  /** Of the label, in [0, 1]. */
  probability?: number
}

export interface Legend {
  svg: string
  height: number
}

const fonts = "'Inter', 'Helvetica Neue', 'Liberation Sans', 'DejaVu Sans', sans-serif"
const wide =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Extended_Pictographic}/u

/** Text as XML holds it: markup characters named, and without those that XML forbids. */
export const escapeXml = (text: string): string =>
  text
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must go
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Surrogate}/gu, '')
    .replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)

/** 33.4 %, 0.16 %, < 0.01 %. */
export function percent(probability: number): string {
  const value = 100 * probability
  if (value > 0 && value < 0.01) return '< 0.01 %'
  return `${value.toFixed(value < 1 ? 2 : 1)} %`
}

// The renderer's fonts are not known here, so widths are estimated, generously.
const estimate = (text: string, size: number): number =>
  size * [...text].reduce((sum, character) => sum + (wide.test(character) ? 1.1 : 0.58), 0)

function shorten(text: string, size: number, room: number): string {
  if (estimate(text, size) <= room) return text
  const characters = [...text]
  while (characters.length > 1 && estimate(`${characters.join('')}…`, size) > room) characters.pop()
  return `${characters.join('').trimEnd()}…`
}

interface Placed extends LegendEntry {
  x: number
  row: number
  share: string
}

/** Swatches with names and probabilities, in as many rows as they need: a strip of the given width. */
export function legend(entries: readonly LegendEntry[], width: number): Legend {
  const size = Math.max(11, Math.min(28, Math.round(width / 38)))
  const [margin, swatch, gap, rowHeight] = [size, size * 0.95, size * 0.5, Math.round(size * 1.75)]
  const placed: Placed[] = []
  let [x, row] = [margin, 0]
  for (const entry of entries) {
    const share = entry.probability === undefined ? '' : percent(entry.probability)
    const fixed = swatch + gap + (share ? gap + estimate(share, size * 0.9) : 0)
    const name = shorten(entry.name, size, width - 2 * margin - fixed)
    const length = fixed + estimate(name, size)
    if (x > margin && x + length > width - margin) [x, row] = [margin, row + 1]
    placed.push({ ...entry, name, x, row, share })
    x += length + size * 1.4
  }
  const height = Math.round(rowHeight * (row + 1) + size * 0.9)
  const items = placed.map((entry) => {
    const middle = size * 0.45 + rowHeight * (entry.row + 0.5)
    const share = entry.share
      ? `<tspan dx="${gap}" font-size="${size * 0.9}" fill="#9aa3b2">${escapeXml(entry.share)}</tspan>`
      : ''
    return (
      `<rect x="${entry.x}" y="${middle - swatch / 2}" width="${swatch}" height="${swatch}" rx="${size * 0.22}" ` +
      `fill="${hexColour(entry.colour)}"/>` +
      `<text x="${entry.x + swatch + gap}" y="${middle + size * 0.36}" font-size="${size}">${escapeXml(entry.name)}${share}</text>`
    )
  })
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">` +
    `<rect width="${width}" height="${height}" fill="#14171c"/>` +
    `<g font-family="${fonts}" fill="#f2f4f8">${items.join('')}</g></svg>`
  return { svg, height }
}
