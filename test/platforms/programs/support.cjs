// A small photo and classes, without sharp.
const clip = require('clip-es')

exports.clip = clip

/** Stripes whose width is a number of pixels. */
exports.photo = (width, height, stripe = 7) => {
  const data = new Uint8Array(width * height * 3)
  for (let i = 0; i < width * height; i++) data.fill((Math.floor((i % width) / stripe) % 2) * 200, 3 * i, 3 * i + 3)
  return { data, width, height }
}

exports.load = (options = {}) => clip.Segmenter.load({ threads: 2, precision: 'float32', ...options })

exports.words = (segmenter) => segmenter.encodeClasses(['elephant', 'panda'], { background: ['sky'] })
