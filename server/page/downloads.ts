import { cocoFile, labelmeFile } from './annotations.js'
import { type Api, type Question, RequestError } from './api.js'
import { byId, create } from './elements.js'
import { showProblem } from './messages.js'
import type { Work } from './work.js'

/** What is saved: the photo's name without its extension, and the file. */
function save(name: string, file: Blob): void {
  const url = URL.createObjectURL(file)
  create('a', { href: url, download: name }).click()
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}

const json = (value: unknown): Blob => new Blob([`${JSON.stringify(value)}\n`], { type: 'application/json' })

/** Without what only a JSON answer has. */
const forPicture = ({ include: _, ...question }: Question): Question => question

/** Connects the buttons. They are disabled while there is nothing to save. @returns a function to call after each change */
export function connectDownloads(api: Api, work: Work): () => void {
  const buttons: Record<string, (stem: string) => Promise<void> | void> = {
    'download-mask': async (stem) => save(`${stem}_mask.png`, await picture('mask')),
    'download-overlay': async (stem) => save(`${stem}_overlay.png`, await picture('overlay')),
    'download-coco': (stem) => save(`${stem}_coco.json`, json(cocoFile(annotated()))),
    'download-labelme': (stem) => save(`${stem}.json`, json(labelmeFile(annotated()))),
  }
  const picture = (format: 'mask' | 'overlay'): Promise<Blob> =>
    api.file(work.photo?.stored.id as string, forPicture(work.question as Question), format)
  const annotated = () => ({ name: work.photo?.name as string, result: work.result as NonNullable<Work['result']> })
  for (const [id, write] of Object.entries(buttons))
    byId(id).addEventListener('click', async () => {
      const stem = (work.photo?.name ?? 'photo').replace(/\.[^.]+$/, '')
      try {
        await write(stem)
      } catch (error) {
        const { title, message, remedy } = error as RequestError
        if (!(error instanceof RequestError)) throw error
        showProblem(title, message, remedy)
      }
    })
  return () => {
    for (const id of Object.keys(buttons)) byId(id, HTMLButtonElement).disabled = !work.result || work.stand.kind !== 'ready'
  }
}
