import type { Api, ModelAnswer, Scene } from './api.js'
import { byId, create, show } from './elements.js'
import { showProblem } from './messages.js'
import type { Store } from './state.js'
import type { Work } from './work.js'

/** The ways in which a photo comes to the page: opened, dropped, pasted, or a demo scene. */
export class Photos {
  readonly #api: Api
  readonly #work: Work
  readonly #store: Store
  /** The server's, once they are known. */
  limits: ModelAnswer['limits'] | undefined

  constructor(api: Api, work: Work, store: Store) {
    this.#api = api
    this.#work = work
    this.#store = store
    const file = byId('file', HTMLInputElement)
    for (const id of ['open', 'another']) byId(id).addEventListener('click', () => file.click())
    file.addEventListener('change', () => {
      this.#openFirst(file.files)
      file.value = '' // so that the same file can be opened again
    })
    this.#listenToDrops()
    document.addEventListener('paste', (event) => {
      if (event.clipboardData?.files.length) this.#openFirst(event.clipboardData.files)
    })
  }

  /** Lists the demo scenes, and opens the one of a link. */
  async showScenes(): Promise<void> {
    const scenes = await this.#api.scenes()
    byId('scene-list').replaceChildren(...scenes.map((scene) => create('li', {}, this.#sceneButton(scene))))
    show(byId('scenes'), scenes.length > 0)
    const linked = scenes.find(({ name }) => name === this.#store.settings.scene)
    if (linked) await this.#openScene(linked)
  }

  #sceneButton(scene: Scene): HTMLElement {
    const picture = create('img', { src: `page/scenes/${scene.name}.png`, alt: '', width: 320, height: 240, loading: 'lazy' })
    const words = create('span', { textContent: scene.labels.join(', ') })
    const button = create('button', { type: 'button' }, picture, words)
    button.addEventListener('click', () => {
      this.#store.update({ words: scene.labels.join(', '), mode: 'all', cam: '' })
      void this.#openScene(scene)
    })
    return button
  }

  async #openScene({ name }: Scene): Promise<void> {
    this.#store.update({ scene: name })
    await this.#open(`${name}.png`, (signal) => this.#api.sceneFile(name, signal))
  }

  /** Opens a photo, then goes to the words: what was focused before may be hidden. A touch screen's keyboard would cover the photo. */
  async #open(name: string, load: (signal: AbortSignal) => Promise<Blob>): Promise<void> {
    await this.#work.open(name, load)
    if (this.#work.photo?.name !== name) return
    byId(matchMedia('(pointer: coarse)').matches ? 'main' : 'words').focus({ preventScroll: true })
    byId('main').scrollIntoView()
  }

  #openFirst(files: FileList | null | undefined): void {
    const [file] = files ?? []
    if (!file) return
    const most = this.limits?.photoBytes ?? Number.POSITIVE_INFINITY
    if (file.size > most) {
      const detail = `${file.name} has ${megabytes(file.size)}; this server takes up to ${megabytes(most)}`
      showProblem('The photo is too large', detail, 'Save it smaller, for example as JPEG, and open it again')
    } else {
      this.#store.update({ scene: '' })
      void this.#open(file.name, async () => file)
    }
  }

  #listenToDrops(): void {
    const stage = byId('stage')
    let depth = 0 // of elements that the pointer is in
    const over = (change: number) => {
      depth = Math.max(0, depth + change)
      stage.classList.toggle('over', depth > 0)
    }
    document.addEventListener('dragenter', () => over(1))
    document.addEventListener('dragleave', () => over(-1))
    document.addEventListener('dragover', (event) => event.preventDefault())
    document.addEventListener('drop', (event) => {
      event.preventDefault()
      over(-depth)
      this.#openFirst(event.dataTransfer?.files)
    })
  }
}

const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 20 ? 2 : 1)} MiB`
