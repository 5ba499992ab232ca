import type { Check } from './check.js'
import { addonCheck, libTorchCheck } from './libraries.js'
import { memoryCheck, nodeCheck, platformCheck, processorCheck } from './machine.js'
import { chosenModelCheck, embeddedModelCheck, untriedCheck } from './model.js'
import { cacheCheck, environmentCheck, gpuCheck, sharpCheck } from './surroundings.js'

/** Examines everything that clip-es needs or uses. What a thing needs comes before it. */
export function* examine(): Generator<Check, void, undefined> {
  yield nodeCheck()
  yield platformCheck()
  yield processorCheck()
  yield memoryCheck()
  yield environmentCheck()
  yield cacheCheck()
  const sharp = sharpCheck()
  yield sharp
  yield libTorchCheck()
  const addon = addonCheck()
  yield addon
  if ([sharp, addon].some(({ status }) => status === 'wrong')) yield untriedCheck()
  else {
    yield embeddedModelCheck()
    yield chosenModelCheck()
  }
  yield gpuCheck()
}
