import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseClassFile } from '../../ts/photos/class_file.js'
import { backgrounds, classSets, fillTemplate, templates } from '../../ts/text/prompts.js'

test('a word replaces the braces', () => {
  assert.is(fillTemplate('a clean origami {}.', 'cat'), 'a clean origami cat.')
  assert.is(fillTemplate('{}', 'cat'), 'cat')
})

test('a word can contain replacement patterns of String.replace', () => {
  assert.is(fillTemplate('a {}.', "$& {} $'"), "a $& {} $'.")
})

test('a template without braces, or with two pairs, is refused and shown', () => {
  for (const [template, shown] of [
    ['a cat', "'a cat'"],
    ['a {} and {}', "'a {} and {}'"],
    ['a {0}', "'a {0}'"],
    ['', "''"],
    [undefined, 'undefined'],
    ['x'.repeat(60), `'${'x'.repeat(60)}'`],
    ['x'.repeat(61), `'${'x'.repeat(60)}'... 1 more character`],
    [{ a: { b: 1 } }, '{ a: [Object] }'],
  ]) {
    assert.throws(
      () => fillTemplate(template as never, 'cat'),
      (error: { code: string; message: string }) =>
        error.code === 'ERR_INVALID_ARG' &&
        error.message === `the template ${shown} must be a string with {} in it exactly once, where the word goes`,
    )
  }
})

test('there are 80 ImageNet templates, all different, all with one place for the word', () => {
  assert.is(new Set(templates.imagenet).size, 80)
  for (const template of [templates.clip_es, ...templates.imagenet]) assert.match(fillTemplate(template, 'WORD'), 'WORD')
  assert.is(templates.clip_es, 'a clean origami {}.')
})

test('VOC has 20 classes and 25 background words, COCO 80 and 23', () => {
  assert.is(classSets.voc.classes.length, 20)
  assert.is(classSets.coco.classes.length, 80)
  assert.is(backgrounds.voc.length, 25)
  assert.is(backgrounds.coco.length, 23)
  assert.equal(classSets.voc.classes[14], { name: 'person', synonyms: ['person with clothes', 'people', 'human'] })
  assert.is(classSets.voc.boxThreshold, 0.4)
  assert.is(classSets.coco.boxThreshold, 0.7)
})

test('the class sets are class files', () => {
  for (const name of ['voc', 'coco'] as const) {
    const file = path.join(__dirname, '..', '..', 'data', 'classes', `${name}.json`)
    assert.equal(parseClassFile(readFileSync(file, 'utf8'), file), classSets[name])
  }
})

test('importing the package reads no data, and each file is read once, at the first access', () => {
  const script = `
    const fs = require('node:fs')
    const read = []
    for (const name of ['readFileSync', 'openSync', 'readFile', 'open']) {
      const original = fs[name]
      fs[name] = (file, ...rest) => {
        if (/[.](json|gz|pt)$/.test(String(file))) read.push(require('node:path').basename(String(file)))
        return original(file, ...rest)
      }
    }
    const clip = require(process.argv[1])
    const after = (access) => { access(); return read.splice(0) }
    console.log(JSON.stringify([
      after(() => undefined),
      after(() => [Object.keys(clip.classSets), Object.keys(clip.backgrounds), Object.keys(clip.templates)]),
      after(() => clip.backgrounds.coco),
      after(() => [clip.classSets.coco, clip.backgrounds.coco]),
      after(() => clip.classSets.voc),
      after(() => clip.templates.imagenet),
      after(() => clip.templates.clip_es),
    ]))`
  const packageMain = path.join(__dirname, '..', '..', 'dist', 'index.js')
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', script, packageMain], { encoding: 'utf8' })
  assert.is(stderr, '')
  assert.equal(JSON.parse(stdout), [[], [], ['package.json', 'coco.json'], [], ['voc.json'], ['templates.json'], []])
})

test('the shipped values look like plain objects', () => {
  assert.equal(Object.keys(classSets), ['voc', 'coco'])
  assert.equal(JSON.parse(JSON.stringify(backgrounds)).coco, backgrounds.coco)
  assert.is({ ...templates }.clip_es, templates.clip_es)
  assert.is(classSets.voc, classSets.voc)
})

test('a caller cannot change the shipped values', () => {
  assert.throws(() => (backgrounds.voc as string[]).push('sand'), TypeError)
  assert.not(Reflect.set(templates, 'clip_es', ''))
  assert.throws(() => (templates.imagenet as string[]).pop(), TypeError)
  for (const entry of classSets.voc.classes) assert.ok(Object.isFrozen(entry) && Object.isFrozen(entry.synonyms))
  assert.not(Reflect.set(classSets, 'voc', {}))
  assert.not(Reflect.set(backgrounds, 'voc', []))
})

test.run()
