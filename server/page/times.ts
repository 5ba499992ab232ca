import type { SegmentAnswer } from '../src/answers/json.js'
import { byId, create, show } from './elements.js'
import type { Work } from './work.js'

type Stage = keyof SegmentAnswer['timings'] | 'way'

/** What the stages do, and why they may take long. Stages of less than half a millisecond are not shown. */
const stages: Readonly<Record<Stage, { name: string; why: string }>> = {
  wait: { name: 'waiting', why: 'The server has other requests to answer first.' },
  queue: { name: 'queue', why: 'The engine works on other photos first.' },
  words: { name: 'words', why: 'Words that were not asked for before go through CLIP’s text tower, once.' },
  decode: { name: 'decoding', why: 'A large file takes longer to decode.' },
  preprocess: { name: 'preparing', why: 'A large photo takes longer to resize.' },
  encode: { name: 'image tower', why: 'CLIP looks at the photo, or at parts of it to find out what is there.' },
  gradcam: {
    name: 'CAM',
    why: 'Each label needs a backward pass through the last block, so the time grows with the number of labels.',
  },
  refine: { name: 'refinement', why: 'The affinity of all pairs of patches is computed once, and used for each label.' },
  mask: { name: 'mask', why: 'Each map is enlarged to the size of the photo, so the time grows with pixels and labels.' },
  crf: { name: 'CRF', why: 'Ten rounds compare each pixel with all others, so the time grows with pixels and labels.' },
  way: { name: 'way', why: 'The way to the server and back, and packing the answer.' },
}

const order: readonly Stage[] = [
  'wait',
  'words',
  'queue',
  'decode',
  'preprocess',
  'encode',
  'gradcam',
  'refine',
  'mask',
  'crf',
  'way',
]

const milliseconds = (value: number): string => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`

/** A bar of the stages of the last answer, and a sentence about the longest one. */
export function showTimes({ result, stand, photo }: Work): void {
  if (stand.kind === 'working') return // the last answer's stay until there are new ones
  show(byId('times'), result !== undefined && stand.kind === 'ready')
  if (!result || stand.kind !== 'ready') return
  const { timings } = result.answer
  const computed = Object.values(timings).reduce((sum, time) => sum + time, 0)
  const times: Record<Stage, number> = { ...timings, way: Math.max(0, stand.milliseconds - computed) }
  const seen = order.filter((stage) => times[stage] >= 0.5)
  byId('times-bar').replaceChildren(
    ...seen.map((stage) => {
      const part = create('span', { className: `part ${stage}` })
      part.style.flexGrow = String(times[stage])
      return part
    }),
  )
  byId('times-list').replaceChildren(
    ...seen.map((stage) =>
      create(
        'li',
        {},
        create('span', { className: `dot ${stage}`, ariaHidden: 'true' }),
        `${stages[stage].name} ${milliseconds(times[stage])}`,
      ),
    ),
  )
  const longest = seen.reduce<Stage>((most, stage) => (times[stage] > times[most] ? stage : most), 'way')
  byId('times-title').textContent = `Time: ${milliseconds(stand.milliseconds)}`
  const once = photo ? ` The photo was read and encoded once, in ${milliseconds(photo.milliseconds)}.` : ''
  byId('times-why').textContent = `Longest: ${stages[longest].name}. ${stages[longest].why}${once}`
}
