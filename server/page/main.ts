import { Api, type ModelAnswer, RequestError } from './api.js'
import { connectControls, showCamChoice } from './controls.js'
import { connectDownloads } from './downloads.js'
import { byId, show } from './elements.js'
import { Labels } from './labels.js'
import { readLink, writeLink } from './link.js'
import { askForKey, hideProblem, showProblem, showStand } from './messages.js'
import { Photos } from './photos.js'
import { Stage } from './stage.js'
import { Store } from './state.js'
import { showTimes } from './times.js'
import { Work } from './work.js'

const api = new Api()
const store = new Store(readLink(location.hash))
let model: ModelAnswer | undefined

const work = new Work(api, () => {
  showStand(work)
  showWork()
})
const labels = new Labels(store, () => showWork())
const stage = new Stage((name) => labels.emphasise(name))
const photos = new Photos(api, work, store)
const showControls = connectControls(store)
const showDownloads = connectDownloads(api, work)

/** Draws everything that depends on the photo and on the answer. */
function showWork(): void {
  const { photo, result } = work
  const { settings } = store
  const isOpen = photo !== undefined
  document.body.classList.toggle('open', isOpen)
  byId('intro').classList.toggle('unseen', isOpen) // its heading stays the page's
  for (const id of ['question', 'tools', 'panel']) show(byId(id), isOpen)
  byId('scenes-title').textContent = isOpen ? 'Try another scene' : 'Or try a scene'
  if (photo) byId('photo-name').textContent = photo.name
  showTimes(work)
  labels.show(work)
  showDownloads()
  showCamChoice(result?.answer.labels.map(({ name }) => name) ?? [], settings)
  stage.draw(
    photo && {
      photo: photo.picture,
      ...{ width: photo.stored.width, height: photo.stored.height },
      ...{ result, settings, hidden: labels.hidden, emphasised: labels.emphasised },
    },
  )
}

async function start(): Promise<void> {
  try {
    model = await api.model()
    hideProblem()
    photos.limits = model.limits
    const { name, device, precision, demo } = model.model
    byId('model').textContent = `${name} · ${device} · ${precision}`
    byId('model').title = demo ? 'The embedded demo model. It knows emoji scenes, not photographs.' : ''
    byId('drop-help').textContent += demo ? ' The demo model knows emoji scenes, not photographs.' : ''
    await photos.showScenes()
    store.update({})
  } catch (error) {
    if (!(error instanceof RequestError)) throw error
    if (error.status === 401) askForKey(api.hasKey)
    else showProblem(error.title, error.message, error.remedy, () => void start())
  }
}

byId('key-form').addEventListener('submit', (event) => {
  event.preventDefault()
  api.useKey(byId('key', HTMLInputElement).value)
  show(byId('key-form'), false)
  if (!model) void start()
  else if (work.stand.kind === 'failed') work.stand.retry()
})

byId('copy-link').addEventListener('click', async () => {
  const button = byId('copy-link')
  const copied = await navigator.clipboard.writeText(location.href).then(
    () => true,
    () => false,
  )
  button.textContent = copied ? 'Copied' : 'Copy the address of this page'
  setTimeout(() => {
    button.textContent = 'Copy a link'
  }, 2000)
})

addEventListener('hashchange', () => store.update(readLink(location.hash)))

store.subscribe((settings) => {
  const link = writeLink(settings)
  if (link !== location.hash.slice(1)) history.replaceState(null, '', link ? `#${link}` : location.pathname + location.search)
  showControls(settings, model)
  work.follow(settings, model)
  showWork()
})

void start()
