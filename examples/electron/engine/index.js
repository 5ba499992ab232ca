// The engine's process. It loads the model once and gives each page that connects a session.
const { Segmenter } = require('clip-es')
const { Session } = require('./session.js')

/** Uses the archive that $CLIP_ES_MODEL names, or the demo model. */
const segmenter = Segmenter.load()
segmenter.catch(() => {}) // each session reports it

process.parentPort.on('message', ({ ports }) => {
  for (const port of ports) new Session(port, segmenter)
})
