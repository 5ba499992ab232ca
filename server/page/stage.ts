import type { LabelMap } from 'clip-es/photos'
import { byId, show } from './elements.js'
import { type Look, paintHeat, paintMask, resizeMask } from './paint.js'
import { colourOf, type Result } from './result.js'
import type { Settings } from './state.js'

/** What the stage draws. */
export interface Drawing {
  /** Undefined if the browser cannot show this kind of file. */
  photo: ImageBitmap | undefined
  width: number
  height: number
  result: Result | undefined
  settings: Readonly<Settings>
  /** Names of labels that are not drawn. */
  hidden: ReadonlySet<string>
  /** The label that the pointer is on. */
  emphasised: string | undefined
}

const mostEnlarged = 4
/** Of the window's height. A narrow window has the settings below the photo, which stays in view while they are changed. */
const mostOfWindow = () => (matchMedia('(max-width: 980px)').matches ? 0.42 : 0.72)

/** The photo and what lies over it. */
export class Stage {
  readonly #stage = byId('stage')
  readonly #photo = byId('photo', HTMLCanvasElement)
  readonly #overlay = byId('overlay', HTMLCanvasElement)
  readonly #under = byId('under')
  #drawing: Drawing | undefined
  #drawnPhoto: ImageBitmap | undefined
  #resized: { mask: LabelMap; values: Uint8Array } | undefined
  #asked = false

  /** @param onPoint called with the label under the pointer */
  constructor(onPoint: (name: string | undefined) => void) {
    new ResizeObserver(() => this.#later()).observe(this.#stage)
    addEventListener('resize', () => this.#later())
    this.#photo.addEventListener('pointermove', (event) => onPoint(this.#labelAt(event)))
    this.#photo.addEventListener('pointerleave', () => onPoint(undefined))
  }

  /** Draws with the next frame. */
  draw(drawing: Drawing | undefined): void {
    this.#drawing = drawing
    show(byId('drop'), !drawing)
    show(byId('picture'), drawing !== undefined)
    if (drawing) this.#later()
  }

  #later(): void {
    if (this.#asked) return
    this.#asked = true
    requestAnimationFrame(() => {
      this.#asked = false
      if (this.#drawing) this.#drawNow(this.#drawing)
    })
  }

  #drawNow(drawing: Drawing): void {
    const resized = this.#fit(drawing)
    if (resized || drawing.photo !== this.#drawnPhoto) this.#drawPhoto(drawing.photo)
    const { result, settings, emphasised } = drawing
    const context = this.#overlay.getContext('2d', { willReadFrequently: true }) as CanvasRenderingContext2D
    context.clearRect(0, 0, this.#overlay.width, this.#overlay.height)
    if (!result || settings.view === 'photo') return
    if (settings.view === 'masks') this.#drawMask(context, result, drawing)
    else drawHeat(context, heatOf(result, settings), settings.opacity)
    this.#under.textContent = emphasised ?? ''
    show(this.#under, emphasised !== undefined)
  }

  /** Sets the size of the canvases to the device's pixels. @returns whether it has changed */
  #fit({ width, height }: Drawing): boolean {
    const across = this.#stage.clientWidth
    const down = Math.max(240, innerHeight * mostOfWindow())
    const scale = Math.min(across / width, down / height, mostEnlarged)
    const density = Math.min(devicePixelRatio, 2)
    const [w, h] = [Math.max(1, Math.round(width * scale * density)), Math.max(1, Math.round(height * scale * density))]
    if (this.#photo.width === w && this.#photo.height === h) return false
    for (const canvas of [this.#photo, this.#overlay]) {
      canvas.width = w
      canvas.height = h
      canvas.style.width = `${w / density}px`
    }
    this.#resized = undefined
    return true
  }

  #drawPhoto(photo: ImageBitmap | undefined): void {
    const { width, height } = this.#photo
    const context = this.#photo.getContext('2d') as CanvasRenderingContext2D
    context.clearRect(0, 0, width, height)
    context.imageSmoothingQuality = 'high'
    if (photo) context.drawImage(photo, 0, 0, width, height)
    this.#drawnPhoto = photo
  }

  #drawMask(context: CanvasRenderingContext2D, { answer, mask }: Result, drawing: Drawing): void {
    const { settings, hidden, emphasised } = drawing
    const { width, height } = this.#overlay
    if (this.#resized?.mask !== mask) this.#resized = { mask, values: resizeMask(mask, width, height) }
    const colours: Look['colours'][number][] = []
    for (const [position, { name, index }] of answer.labels.entries())
      if (!hidden.has(name)) colours[index + 1] = colourOf(name, position, settings)
    const shown = answer.labels.find(({ name }) => name === emphasised)
    const picture = context.createImageData(width, height)
    paintMask(picture, this.#resized.values, {
      colours,
      emphasised: shown ? shown.index + 1 : 0,
      opacity: settings.opacity,
      outline: settings.outline ? Math.round(2 * Math.min(devicePixelRatio, 2)) : 0,
    })
    context.putImageData(picture, 0, 0)
  }

  #labelAt({ offsetX, offsetY }: PointerEvent): string | undefined {
    const { result, settings } = this.#drawing ?? {}
    if (!result || settings?.view !== 'masks') return undefined
    const { mask, answer } = result
    const x = Math.floor((offsetX / this.#photo.clientWidth) * mask.width)
    const y = Math.floor((offsetY / this.#photo.clientHeight) * mask.height)
    const value = mask.data[y * mask.width + x]
    return answer.labels.find(({ index }) => index + 1 === value)?.name
  }
}

function heatOf({ answer, confidence, cams }: Result, { view, cam }: Settings): ImageBitmap | undefined {
  if (view === 'confidence') return confidence
  const position = answer.labels.findIndex(({ name }) => name === cam)
  return cams[Math.max(0, position)]
}

/** Draws a grey picture over the whole canvas, in colours. */
function drawHeat(context: CanvasRenderingContext2D, grey: ImageBitmap | undefined, opacity: number): void {
  if (!grey) return
  const { width, height } = context.canvas
  context.drawImage(grey, 0, 0, width, height)
  const picture = context.getImageData(0, 0, width, height)
  paintHeat(picture, opacity)
  context.putImageData(picture, 0, 0)
}
