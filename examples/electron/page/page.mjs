/** @import { EngineLostMessage, EngineMessage } from '../contract.js' */
import { EngineClient, EngineError } from './engine_client.mjs'
import { clearMasks, drawMasks, showLegend } from './masks.mjs'
import { drawPhoto } from './photo.mjs'

const pauseOfTyping = 150 // milliseconds without a key before words are sent

/** @type {<T extends HTMLElement>(id: string) => T} */
const element = (id) => /** @type {any} */ (document.getElementById(id))
const file = /** @type {HTMLInputElement} */ (element('file'))
const words = /** @type {HTMLInputElement} */ (element('words'))
const crf = /** @type {HTMLInputElement} */ (element('crf'))
const photoCanvas = /** @type {HTMLCanvasElement} */ (element('photo'))
const maskCanvas = /** @type {HTMLCanvasElement} */ (element('masks'))
const [drop, stage, invitation, legend] = ['drop', 'stage', 'invitation', 'legend'].map(element)
const [status, model, notice, error] = ['status', 'model', 'notice', 'error'].map(element)

/** @type {EngineClient | undefined} */
let engine
/** @type {ImageData | undefined} */
let photo
let photoRequest = new AbortController()
let wordsRequest = new AbortController()
/** @type {number | undefined} */
let timer

/**
 * Shows what went wrong. What was aborted was replaced by something newer, and a lost engine is reported by the main process.
 * @param {unknown} problem
 * @param {AbortSignal} signal
 */
function report(problem, signal) {
  if (signal.aborted || (problem instanceof EngineError && problem.code === 'GONE')) return
  status.textContent = ''
  error.textContent = problem instanceof Error ? problem.message : String(problem)
}

/** @param {File} chosen */
async function openPhoto(chosen) {
  try {
    photo = await drawPhoto(chosen, photoCanvas)
  } catch (problem) {
    return report(problem, new AbortController().signal)
  }
  notice.textContent = error.textContent = ''
  clearMasks(maskCanvas)
  legend.replaceChildren()
  stage.hidden = false
  invitation.hidden = true
  words.disabled = crf.disabled = false
  words.focus()
  sendPhoto()
}

/** The engine answers words after the photo, so both can be sent at once. */
function sendPhoto() {
  photoRequest.abort()
  photoRequest = new AbortController()
  const { signal } = photoRequest
  if (!engine || !photo) return
  const { data, width, height } = photo
  status.textContent = 'Looking at the photo …'
  engine.openPhoto({ pixels: data, width, height }, signal).then(
    ({ milliseconds }) => {
      if (!wordsAsked().length) status.textContent = `Looked at the photo in ${Math.round(milliseconds)} ms. Now type words.`
    },
    (problem) => report(problem, signal),
  )
  void askForMasks()
}

/** Each word once. */
const wordsAsked = () => [...new Set(words.value.split(',').map((word) => word.trim()))].filter(Boolean)

async function askForMasks() {
  clearTimeout(timer)
  wordsRequest.abort()
  wordsRequest = new AbortController()
  const { signal } = wordsRequest
  const asked = wordsAsked()
  if (!engine || !photo) return
  if (!asked.length) {
    clearMasks(maskCanvas)
    legend.replaceChildren()
    error.textContent = ''
    return
  }
  try {
    const masks = await engine.segment({ words: asked, crf: crf.checked }, signal)
    drawMasks(maskCanvas, masks)
    showLegend(legend, masks)
    error.textContent = ''
    status.textContent = `${asked.length === 1 ? '1 word' : `${asked.length} words`}, ${Math.round(masks.milliseconds)} ms`
  } catch (problem) {
    report(problem, signal)
  }
}

/** @param {MessagePort} port */
function useEngine(port) {
  engine?.close()
  engine = new EngineClient(port, {
    onModel: ({ demo }) => {
      model.textContent = demo
        ? 'This is the demo model. It knows emoji scenes and not photographs: set CLIP_ES_MODEL to a CLIP archive.'
        : ''
    },
    onUnusable: (problem) => report(problem, new AbortController().signal),
  })
  sendPhoto()
}

window.addEventListener('message', ({ source, data, ports: [port] }) => {
  if (source !== window) return // only the preload script
  const message = /** @type {EngineMessage | EngineLostMessage} */ (data)
  if (message.type === 'clip-es-engine' && port) {
    if (message.restarted) notice.textContent = 'The engine stopped unexpectedly. It was started again.'
    useEngine(port)
  } else if (message.type === 'clip-es-engine-lost') {
    engine?.close()
    engine = undefined
    notice.textContent = status.textContent = ''
    error.textContent = message.message
  }
})

file.addEventListener('change', () => {
  const [chosen] = file.files ?? []
  file.value = '' // the same file can be opened again
  if (chosen) void openPhoto(chosen)
})
words.addEventListener('input', () => {
  clearTimeout(timer)
  timer = setTimeout(askForMasks, pauseOfTyping)
})
crf.addEventListener('change', askForMasks)

// A file that is dropped anywhere must not be opened instead of the page.
window.addEventListener('dragover', (event) => {
  event.preventDefault()
  drop.classList.add('over')
})
window.addEventListener('dragleave', () => drop.classList.remove('over'))
window.addEventListener('drop', (event) => {
  event.preventDefault()
  drop.classList.remove('over')
  const [dropped] = event.dataTransfer?.files ?? []
  if (dropped) void openPhoto(dropped)
})
