import { resolve } from 'node:path'
import { encodeOutputs, ignoredShare, type Segmented } from 'clip-es/support'
import type { Outcome, Stages } from '../pipeline/pipeline.js'
import { type Event, failedEvent, figuresText, ignoredText } from '../pipeline/progress.js'
import { photoState } from '../results/journal.js'
import type { OutputKind, Results } from '../results/store.js'
import { oneLine } from '../shared/say.js'
import { counted } from '../shared/wording.js'
import { madeWith, type Plan } from './plan.js'
import { refine } from './refine.js'

type PhotoState = ReturnType<typeof photoState> & { settings: string; photo: string }
type Made = Segmented & { labels: readonly number[] }

/** A photo's maps became a mask. */
interface Summary {
  maps: readonly number[]
  ignored: number
}

/** The steps of `clip-es crf`: maps instead of a model. */
export function crfStages(plan: Plan, { store, journal }: Results): Stages<string, PhotoState, Made, Summary> {
  const { outputs, colours } = plan
  return {
    prepare(id) {
      store.check(id, outputs)
      const photo = plan.photo(id)
      return { ...photoState(photo), photo, settings: madeWith(plan, id) }
    },
    segment: async (id, { photo }) => await refine(plan.maps, id, photo, plan.refine),
    encode: (made) => encodeOutputs(outputs, made, { names: [], colours }),
    save(files, { labels, mask }, id, state) {
      store.save(id, files as ReadonlyMap<OutputKind, Uint8Array>)
      journal.add({ id, labels: [...labels], ...state, photo: resolve(state.photo) })
      return { maps: labels, ignored: ignoredShare(mask) }
    },
  }
}

/** How an outcome is reported. */
export function describe(outcome: Outcome<string, Summary>): Event {
  const id = outcome.item
  if ('error' in outcome) return failedEvent(id, outcome.error.message)
  const { maps, ignored } = outcome.summary
  const words = [counted(maps.length, 'map'), ...ignoredText(ignored)].join(', ')
  return {
    text: (figures) => `${oneLine(id)}: ${words} (${figuresText(figures)})`,
    json: ({ ended, total, perSecond }) => ({ event: 'done', id, labels: maps, ignored, ended, total, perSecond }),
  }
}
