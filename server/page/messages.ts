import { byId, create, show } from './elements.js'
import { percent } from './result.js'
import type { Stand, Work } from './work.js'

const problem = byId('problem')
const summary = byId('summary')
const busy = byId('busy')
const keyForm = byId('key-form', HTMLFormElement)
const warnings = byId('warnings')

/** Says what went wrong and what helps. */
export function showProblem(title: string, detail: string, remedy?: string, retry?: () => void): void {
  const text = create('div', {}, create('strong', { textContent: title }), create('p', { textContent: sentence(detail) }))
  if (remedy) text.append(create('p', { className: 'remedy', textContent: sentence(remedy) }))
  problem.replaceChildren(text)
  if (retry) problem.append(create('button', { type: 'button', textContent: 'Try again', onclick: retry }))
  show(problem, true)
}

export function hideProblem(): void {
  show(problem, false)
  problem.replaceChildren()
}

const sentence = (text: string): string => {
  const begun = text.charAt(0).toUpperCase() + text.slice(1)
  return /[.!?]$/.test(begun) ? begun : `${begun}.`
}

/** Tells what is found, for the eyes' owners and for screen readers. */
function summaryOf({ photo, result, stand }: Work): string {
  if (stand.kind === 'opening') return 'The photo is being read.'
  if (!photo || stand.kind !== 'ready') return ''
  if (!result) return `${photo.name} is open. Type what you want to find.`
  const { labels, width, height } = result.answer
  if (!labels.length) return 'Nothing was found.'
  return labels.map(({ name, pixels }) => `${name}: ${percent(pixels / (width * height))} of the photo`).join('. ')
}

/** Only a finished result is announced: an empty text would interrupt a screen reader. */
function announce(work: Work): void {
  const text = summaryOf(work)
  if (text && text !== summary.textContent) summary.textContent = text
}

const busyTexts: Partial<Record<Stand['kind'], string>> = { opening: 'Reading the photo …', working: 'Looking …' }

function showWarnings(list: readonly string[]): void {
  warnings.replaceChildren(...list.map((text) => create('li', { textContent: sentence(text) })))
  show(warnings, list.length > 0)
}

/** Shows how the work stands. */
export function showStand(work: Work): void {
  const { stand, result, photo } = work
  const text = busyTexts[stand.kind] ?? ''
  busy.textContent = text
  show(busy, text !== '')
  byId('work').dataset.state = stand.kind
  show(keyForm, stand.kind === 'failed' && stand.error.status === 401)
  if (stand.kind === 'failed') {
    if (stand.error.status === 401) askForKey(work.hasKey)
    else showProblem(stand.error.title, stand.error.message, stand.error.remedy, stand.retry)
  } else hideProblem()
  announce(work)
  const unseen = photo && !photo.picture ? ['this browser cannot show this kind of file, so only the masks are drawn'] : []
  showWarnings([...(result?.answer.warnings ?? []), ...unseen])
}

const keyRefused = 'The server does not know this key. Check it, or ask whoever runs the server for another one.'

/** Shows the field for the API key. @param refused whether a key was sent that the server does not know */
export function askForKey(refused: boolean): void {
  hideProblem()
  if (refused) byId('key-help').textContent = keyRefused
  show(keyForm, true)
  byId('key').focus()
}
