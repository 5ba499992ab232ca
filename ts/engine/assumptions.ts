import type { NativeModel } from './native.js'

type Assumption = 'activation' | 'heads'

/** What the archive does not say. */
export function assumptions({ assumedActivation, assumedHeads }: NativeModel): readonly Assumption[] {
  const assumed: Assumption[] = []
  if (assumedActivation) assumed.push('activation')
  if (assumedHeads) assumed.push('heads')
  return Object.freeze(assumed)
}

const words: Record<Assumption, string> = { activation: 'QuickGELU', heads: 'heads of width 64' }
/** The code of the warning, for listeners of the process's 'warning' event. */
const assumptionWarning = 'CLIP_ES_ASSUMED'
const warned = new Set<string>()

/** One process warning for each path: masks of a wrong assumption look plausible, so nobody would notice. */
export function warnOfAssumptions(model: NativeModel, path: string): void {
  const assumed = assumptions(model)
  if (assumed.length === 0 || warned.has(path)) return
  warned.add(path)
  process.emitWarning(
    `clip-es: ${path} is a bare state dict, which does not say its ${assumed.join(' and ')}; ${assumed.map((each) => words[each]).join(' and ')} as in OpenAI's models are assumed.${assumed.includes('activation') ? ' Most open_clip weights need GELU.' : ''} Write an archive that says what is right with tools/export_archive.py`,
    { code: assumptionWarning },
  )
}
