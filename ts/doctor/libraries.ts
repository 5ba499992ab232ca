import { relative } from 'node:path'
import { addonFile, isOutdated } from '../setup/addon.js'
import { installedLibTorch, isTooOld, type LibTorch, libraryFile, oldestVersion } from '../setup/find.js'
import { loadFailure } from '../setup/loads.js'
import { packageRoot } from '../setup/paths.js'
import { type Check, ok, warning, wrong } from './check.js'

const origins = { environment: 'from $CLIP_ES_LIBTORCH', cache: 'fetched by set-up', python: "Python's, recorded by set-up" }

const remedies = {
  environment: `point CLIP_ES_LIBTORCH to a complete LibTorch of ${oldestVersion} or newer, or unset it and run npx clip-es setup`,
  cache: 'delete that folder and run npx clip-es setup',
  python: 'run npx clip-es setup',
}

function unfitness({ version, folder }: LibTorch): string | undefined {
  if (isTooOld(version)) return `is older than ${oldestVersion}`
  const failed = loadFailure(libraryFile(folder) as string)
  return failed && `does not load: ${failed}`
}

/** The LibTorch that would be loaded, tried in a process of its own. */
export function libTorchCheck(): Check {
  const name = 'LibTorch'
  let found: LibTorch | undefined
  try {
    found = installedLibTorch()
  } catch {
    const path = process.env.CLIP_ES_LIBTORCH
    return wrong(name, `CLIP_ES_LIBTORCH is ${path}, where there is no libtorch_cpu.so`, remedies.environment, { folder: path })
  }
  if (!found) return wrong(name, 'none is set up', 'run npx clip-es setup')
  const { version, folder, source } = found
  const detail = `${version} at ${folder}, ${origins[source]}`
  const unfit = unfitness(found)
  if (unfit) return wrong(name, `${detail}; it ${unfit}`, remedies[source], { version, folder, source })
  return ok(name, `${detail}; it loads`, { version, folder, source })
}

/** The add-on that would be loaded, tried in a process of its own. */
export function addonCheck(): Check {
  const name = 'add-on'
  const file = addonFile()
  if (!file) return wrong(name, `there is none for ${process.platform} ${process.arch}`, 'run npx clip-es setup')
  const path = relative(packageRoot(), file)
  const built = !path.startsWith('prebuilds')
  const values = { file, built }
  const detail = `${path}, ${built ? 'built on this machine' : 'as it was shipped'}`
  const failed = loadFailure(file)
  if (failed) return wrong(name, `${detail}; it does not load: ${failed}`, 'run npx clip-es setup --build', values)
  if (isOutdated(file)) return warning(name, `${detail}; it is older than the C++ sources`, 'run npx clip-es setup', values)
  return ok(name, `${detail}; it loads`, values)
}
