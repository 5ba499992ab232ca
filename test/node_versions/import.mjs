import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import * as clip from 'clip-es'
import * as photos from 'clip-es/photos'
import { useLibrary } from './use_library.cjs'

assert.equal(clip.Segmenter, createRequire(import.meta.url)('clip-es').Segmenter, 'import and require load one library')
await useLibrary(clip, photos)
