import { relative } from 'node:path'
import {
  addonFile,
  hasCuda,
  installedLibTorch,
  isTooOld,
  type LibTorch,
  libraryFile,
  oldestVersion,
  packageRoot,
} from 'clip-es/support'
import { loadFailure } from '../setup/loads.js'
import { type Check, ok, warning, wrong } from './check.js'
import { processorFlags } from './machine.js'

const origins = { environment: 'from $CLIP_ES_LIBTORCH', cache: "in set-up's cache", python: "Python's, found by set-up" }

const remedies = {
  environment: `point CLIP_ES_LIBTORCH to a complete LibTorch of ${oldestVersion} or newer, or unset it (npx clip-es setup --cuda fetches one)`,
  cache: 'delete that folder, and run npx clip-es setup --cuda if you use a GPU',
  python: 'run npx clip-es setup --cuda if you use a GPU',
}

function unfitness({ version, folder }: LibTorch): string | undefined {
  if (isTooOld(version)) return `is older than ${oldestVersion}`
  const failed = loadFailure(libraryFile(folder) as string)
  return failed && `does not load: ${failed}`
}

/** What would use a LibTorch here. */
function usesOf(folder: string | undefined): string[] {
  const gpu = folder === undefined || hasCuda(folder) ? ["device 'cuda'"] : []
  return processorFlags().has('amx_bf16') ? [...gpu, 'products in bfloat16 on this CPU (AMX)'] : gpu
}

/** The LibTorch that would be loaded, tried in a process of its own. It is optional, so nothing about it is wrong. */
export function libTorchCheck(): Check {
  const name = 'LibTorch'
  let found: LibTorch | undefined
  try {
    found = installedLibTorch()
  } catch {
    const path = process.env.CLIP_ES_LIBTORCH
    return warning(name, `CLIP_ES_LIBTORCH is ${path}, which has no libtorch_cpu.so`, remedies.environment, { folder: path })
  }
  if (!found) return ok(name, `none, and the CPU needs none; ${usesOf(undefined).join(' and ')} would use one`)
  const { version, folder, source } = found
  const detail = `${version} at ${folder}, ${origins[source]}`
  const unfit = unfitness(found)
  if (unfit) return warning(name, `${detail}; it ${unfit}`, remedies[source], { version, folder, source })
  const uses = usesOf(folder)
  const use = uses.length ? `used for ${uses.join(' and ')}` : 'not used: it is a CPU build, and this CPU has no AMX'
  return ok(name, `${detail}; it loads; ${use}`, { version, folder, source, uses })
}

/** The add-on that would be loaded, tried in a process of its own. */
export function addonCheck(): Check {
  const name = 'add-on'
  const file = addonFile()
  if (!file)
    return wrong(
      name,
      `there is none for ${process.platform} ${process.arch}`,
      'use a platform that the README lists, or build the add-on in a checkout with npm install',
    )
  const path = relative(packageRoot(), file)
  const built = !path.startsWith('prebuilds')
  const values = { file, built }
  const detail = `${path}, ${built ? 'built on this machine' : 'as it was shipped'}`
  const failed = loadFailure(file)
  if (failed)
    return wrong(
      name,
      `${detail}; it does not load: ${failed}`,
      'install clip-es again; in a checkout, run npm run build:native',
      values,
    )
  return ok(name, `${detail}; it loads`, values)
}
