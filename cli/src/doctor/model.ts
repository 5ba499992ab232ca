import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { tolerance } from '../demo/result.js'
import { type Check, ok, warning, wrong } from './check.js'
import type { Trial } from './try_model.js'

const timeLimit = 180_000 // milliseconds: a large model on a cold network drive

function tryModel(path?: string): Trial {
  const args = [join(__dirname, 'try_model.js'), ...(path === undefined ? [] : [path])]
  const run = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: timeLimit, killSignal: 'SIGKILL' })
  if (run.error) return { error: run.error.message }
  try {
    return JSON.parse(run.stdout) as Trial
  } catch {
    const said = run.stderr.trim().split('\n')[0]
    return { error: `trying it ended with ${run.signal ?? `status ${run.status}`}${said ? `: ${said}` : ''}` }
  }
}

/** The embedded model on its first scene, whose result is known. */
export function embeddedModelCheck(): Check {
  const name = 'engine'
  const remedy =
    'install clip-es again, in a checkout run npm run build:native -- --force; if that does not help, report it with the output of npx clip-es doctor --json'
  const trial = tryModel()
  if ('error' in trial) return wrong(name, `the embedded model does not work: ${trial.error}`, remedy)
  const { objects, milliseconds } = trial
  const found = objects.map(({ label, iou }) => `${label} ${iou.toFixed(3)}`).join(', ')
  const off = objects.filter(({ iou, reference }) => !(Math.abs(iou - reference) <= tolerance))
  if (!off.length) return ok(name, `a scene's masks are right (IoU ${found}) in ${milliseconds} ms, loading included`, trial)
  const expected = off.map(({ label, reference }) => `${label} ${reference.toFixed(3)}`).join(', ')
  return wrong(name, `a scene's masks are wrong: IoU ${found}; expected ${expected}`, remedy, trial)
}

/** The model that $CLIP_ES_MODEL names, if it names one. */
export function chosenModelCheck(): Check {
  const name = 'model'
  const path = process.env.CLIP_ES_MODEL
  if (!path) return ok(name, 'the embedded one, which knows emoji scenes and not photographs (CLIP_ES_MODEL is not set)')
  const trial = tryModel(path)
  if ('error' in trial)
    return wrong(name, trial.error, 'point CLIP_ES_MODEL to a CLIP-ViT archive, such as ViT-B-16.pt, or unset it')
  const { patch, width, layers, precision } = trial.model
  return ok(name, `${path}: ViT of ${layers} blocks of width ${width}, patches of ${patch} pixels, ${precision}; it loads`, trial)
}

/** Replaces the checks that cannot work without sharp and the add-on. */
export const untriedCheck = (): Check => warning('engine', 'not tried', 'first correct what is wrong above')
