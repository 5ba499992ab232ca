import { checkBoolean, checkInteger, checkNumber, checkOptions, wrong } from '../core/check.js'
import type { CrfOptions } from '../core/segment_types.js'
import type { NativeCrfSettings } from './native.js'

/** The paper's settings. */
const defaults: NativeCrfSettings = {
  rounds: 10,
  positionSigma: 1,
  positionWeight: 3,
  bilateralPositionSigma: 67,
  bilateralColourSigma: 3,
  bilateralWeight: 4,
  released: false,
}

export const crfOptionNames = Object.keys(defaults) as (keyof CrfOptions & string)[]

/** Every setting, checked. A sigma or weight may be any number above 0 or from 0 on. */
export function resolveCrfOptions(call: string, options: CrfOptions | undefined): NativeCrfSettings {
  const settings = { ...defaults, ...checkOptions<CrfOptions>(call, options, crfOptionNames) } as NativeCrfSettings
  for (const name of crfOptionNames) {
    const value = settings[name]
    if (value === undefined) throw wrong(call, name, value, 'a value, or nothing for the default')
    if (name === 'rounds') checkInteger(call, name, value, 0, 1000)
    else if (name === 'released') checkBoolean(call, name, value)
    else checkNumber(call, name, value, name.endsWith('Weight') ? 0 : 1e-3, 1e6)
  }
  return settings
}

/** segment()'s `crf`: false, true for the defaults, or settings. */
export function resolveCrf(call: string, crf: boolean | CrfOptions | undefined): NativeCrfSettings | undefined {
  if (crf === undefined || crf === false) return undefined
  return resolveCrfOptions(`${call}: crf`, crf === true ? undefined : crf)
}
