import type { Check } from './check.js'
import { addonCheck, libTorchCheck } from './libraries.js'
import { memoryCheck, nodeCheck, platformCheck, processorCheck } from './machine.js'
import { chosenModelCheck, embeddedModelCheck, untriedCheck } from './model.js'
import { cacheCheck, environmentCheck, gpuCheck, sharpCheck } from './surroundings.js'

/** Everything that clip-es needs or uses, looked at in the order in which one thing needs another. */
export function* examine(): Generator<Check, void, undefined> {
  yield nodeCheck()
  yield platformCheck()
  yield processorCheck()
  yield memoryCheck()
  yield environmentCheck()
  yield cacheCheck()
  const sharp = sharpCheck()
  yield sharp
  const libtorch = libTorchCheck()
  yield libtorch
  const addon = addonCheck()
  yield addon
  if ([sharp, libtorch, addon].some(({ status }) => status === 'wrong')) yield untriedCheck()
  else {
    yield embeddedModelCheck()
    yield chosenModelCheck()
  }
  yield gpuCheck()
}
