import { drawOverlay, parseColour, vividColour } from 'clip-es/photos'
import type { ServiceResult } from '../service/service.js'

/** The photo with its masks and a legend, as a PNG file. */
export async function overlayAnswer({ photo, mask, names, labels, scores, colours }: ServiceResult): Promise<Buffer> {
  const drawn = labels.map((name, i) => {
    const index = names.indexOf(name)
    const own = colours[index]
    const colour = own === undefined ? vividColour(i) : parseColour(own)
    return { name, value: index + 1, colour, probability: scores[i] }
  })
  return await drawOverlay(photo, mask, drawn)
}
