// A tiny data set and runs of the training program on it.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import sharp from 'sharp'

export const program = process.env.CLIP_ES_TRAIN_PROGRAM ?? 'build-train/clip_es_train'
export const classes = ['background', 'square', 'disc']

export interface Sample {
  name: string
  photo: string
  mask: string
  confidence: string | null
}

export interface Job {
  run: string
  samples: Sample[]
  validation: Sample[]
  network: { name: string; msc: number[]; weights: string | null }
  training: Record<string, unknown> & { iterations: number }
  every: { log: number; checkpoint: number; validation: number }
  [key: string]: unknown
}

/** One line of the program's output. */
export interface Event {
  event: string
  iteration: number
  loss: number
  miou: number
  code: string
  message: string
  pictures: string[]
  [key: string]: unknown
}

export interface Ended {
  status: number | null
  signal: string | null
  events: Event[]
}

export function temporaryFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'clip-es-train-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

/** A reddish square or a bluish disc on noise. The confidence is low next to the border of the object. */
async function drawSample(folder: string, index: number, size: number): Promise<Sample> {
  const name = `scene-${index}`
  const label = 1 + (index % 2)
  const [cx, cy, radius] = [size * (0.35 + 0.03 * (index % 9)), size * (0.4 + 0.04 * (index % 5)), size / 4]
  const [rgb, mask, confidence] = [Buffer.alloc(3 * size * size), Buffer.alloc(size * size), new Uint16Array(size * size)]
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++) {
      const i = y * size + x
      const [dx, dy] = [Math.abs(x - cx), Math.abs(y - cy)]
      const distance = label === 1 ? Math.max(dx, dy) : Math.hypot(dx, dy)
      const inside = distance < radius
      const noise = (x * 7919 + y * 104729 + index * 31) % 61
      rgb.set(
        inside ? (label === 1 ? [200, 60 + noise, 50] : [40, 80 + noise, 210]) : [100 + noise, 110 + noise, 90 + noise],
        3 * i,
      )
      mask[i] = inside ? label : 0
      confidence[i] = Math.abs(distance - radius) < 2 ? 30_000 : 65_535
    }
  const file = (kind: string): string => join(folder, `${name}-${kind}.png`)
  const raw = { width: size, height: size }
  await sharp(rgb, { raw: { ...raw, channels: 3 } })
    .png()
    .toFile(file('photo'))
  await sharp(mask, { raw: { ...raw, channels: 1 } })
    .toColourspace('b-w')
    .png()
    .toFile(file('mask'))
  await sharp(confidence, { raw: { ...raw, channels: 1 } })
    .toColourspace('grey16')
    .png()
    .toFile(file('confidence'))
  return { name, photo: file('photo'), mask: file('mask'), confidence: file('confidence') }
}

export async function drawSet(folder: string, count: number, size = 48): Promise<Sample[]> {
  mkdirSync(folder, { recursive: true })
  return Promise.all(Array.from({ length: count }, (_, i) => drawSample(folder, i, size)))
}

export function makeJob(run: string, samples: Sample[], changes: Record<string, unknown> = {}): Job {
  return {
    version: 1,
    run,
    classes,
    samples,
    validation: [],
    network: { name: 'small', msc: [], weights: null },
    training: {
      iterations: 12,
      batch: 3,
      accumulate: 2,
      learningRate: 0.02,
      headFactor: 2,
      headBiasFactor: 4,
      momentum: 0.9,
      weightDecay: 5e-4,
      power: 0.9,
      crop: 32,
      scales: [0.5, 1.5],
      flip: true,
      confidence: { mode: 'hard', threshold: 0.95 },
      balanced: false,
      clip: null,
    },
    every: { log: 1, checkpoint: 4, validation: 6 },
    pictures: 2,
    device: 'cpu',
    threads: 1,
    loaders: 2,
    seed: 7,
    ...changes,
  } as Job
}

interface StartOptions {
  /** May end the program. */
  onEvent?: (event: Event, kill: (signal: NodeJS.Signals) => void) => void
  /** Shell commands before the program, such as ulimit. */
  limits?: string
}

/** Writes RUN/job.json and runs the program. */
export function start(job: Job, { onEvent = () => {}, limits = ':' }: StartOptions = {}): Promise<Ended> {
  mkdirSync(job.run, { recursive: true })
  const file = join(job.run, 'job.json')
  writeFileSync(file, JSON.stringify(job))
  const child = spawn('bash', ['-c', `${limits}; exec "$0" train "$1"`, program, file], { stdio: ['ignore', 'pipe', 'inherit'] })
  const events: Event[] = []
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = JSON.parse(line) as Event
    events.push(event)
    onEvent(event, (signal) => child.kill(signal))
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (status, signal) => resolve({ status, signal, events }))
  })
}
