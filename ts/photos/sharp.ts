import type Sharp from 'sharp'
import { ClipEsError } from '../core/errors.js'

/** sharp is an optional peer, so it is loaded when a function first needs it. @throws ERR_IO with the remedy if it does not load */
export function loadSharp(): typeof Sharp {
  try {
    return require('sharp') as typeof Sharp
  } catch (cause) {
    const why = (cause as Error).message.split('\n')[0]
    throw new ClipEsError(
      'ERR_IO',
      `clip-es/photos reads and draws pictures with sharp, which does not load (${why}): run npm install sharp`,
      {
        cause,
      },
    )
  }
}
