// Models and class sets whose paths are not ASCII, and the error for a file that is missing.
const assert = require('node:assert/strict')
const { copyFileSync, mkdirSync, mkdtempSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { dirname, join } = require('node:path')
const { pathToFileURL } = require('node:url')
const { load, photo, words } = require('./support.cjs')

const embedded = join(dirname(require.resolve('clip-es/package.json')), 'models/emoji-clip.pt')

async function main(folder) {
  const names = join(folder, 'Фото 日本 🐘')
  mkdirSync(names)
  const model = join(names, 'модель.pt')
  copyFileSync(embedded, model)
  for (const path of [model, pathToFileURL(model)]) {
    const segmenter = await load({ model: path })
    const classes = await words(segmenter)
    await classes.save(join(names, 'классы.safetensors'))
    const loaded = await segmenter.loadClasses(join(names, 'классы.safetensors'))
    const image = photo(96, 64)
    const [first, second] = [await segmenter.segment(image, classes), await segmenter.segment(image, loaded)]
    assert.deepEqual(first.mask, second.mask)
    await segmenter.close()
  }
  const missing = join(names, 'нет.pt')
  await assert.rejects(load({ model: missing }), (error) => {
    assert.equal(error.code, 'ERR_MODEL_READ')
    assert.ok(error.message.includes(missing) && error.message.includes('No such file or directory'), error.message)
    return true
  })
  await assert.rejects(load({ model: names }), { code: 'ERR_MODEL_READ', message: /Is a directory/ })
  console.log('paths: done')
}

const folder = mkdtempSync(join(tmpdir(), 'clip-es-paths-'))
main(folder).finally(() => rmSync(folder, { recursive: true, force: true }))
