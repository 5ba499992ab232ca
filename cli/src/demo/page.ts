import type { ModelInfo } from 'clip-es'
import { hexColour } from 'clip-es/photos'
import { escapeXml, percent } from 'clip-es/support'
import { pageStyle } from '../report/base_style.js'
import { type DemoObject, type DemoResult, isOff, meanOf, objectsOf, tolerance } from './result.js'

const figure = (value: number): string => (Number.isFinite(value) ? value.toFixed(3) : '–')

const stat = (value: string, name: string, note: string): string =>
  `<div class="stat"><dt>${name}</dt><dd>${value}</dd><dd class="note">${note}</dd></div>`

function header(results: readonly DemoResult[], model: ModelInfo): string {
  const milliseconds = (1000 * results.reduce((sum, { seconds }) => sum + seconds, 0)) / results.length
  const [found, reference] = [meanOf(results, 'iou'), meanOf(results, 'reference')]
  const off = objectsOf(results).filter(isOff).length
  return `<header>
<p class="brand">clip-es demo</p>
<h1>Words in, masks out.</h1>
<p class="lead">Every scene below was segmented from nothing but its picture and the names of what is in it: no training on
masks, no boxes, no clicks. A CLIP says where each word is (softmax-GradCAM, with background words as rivals), and its own attention
sharpens the answer (class-aware attention-based affinity).</p>
<p class="caution"><strong>The embedded model knows emoji scenes, not photographs.</strong> It is a CLIP small enough to ship
(9 MB, 72 things drawn as emoji), here to show that the machinery works. For photos, give clip-es real CLIP weights.</p>
<dl class="stats">
${stat(figure(found), 'Mean IoU', `of ${objectsOf(results).length} objects in ${results.length} scenes`)}
${stat(
  figure(reference),
  'Reference',
  off ? `${off} objects are more than ${tolerance} off` : `plain PyTorch; every object within ${tolerance}`,
)}
${stat(`${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`, 'Per scene', 'mean time of one segment() call')}
${stat(escapeXml(model.device), 'Device', `${escapeXml(model.precision)}, ViT with ${model.layers} blocks of width ${model.width}`)}
</dl>
</header>`
}

const place = (value: number): string => `${(100 * Math.max(0, Math.min(1, value || 0))).toFixed(1)}%`

function objectItem(object: DemoObject): string {
  const off = isOff(object) ? '<span class="off">off the reference</span>' : ''
  return `<li style="--colour:${hexColour(object.colour)}">
<div class="line"><span class="swatch"></span><span class="name">${escapeXml(object.name)}</span>${off}<span
 class="iou">${figure(object.iou)}</span></div>
<div class="bar"><span class="fill" style="width:${place(object.iou)}"></span><span class="tick" style="left:${place(
    object.reference,
  )}"></span></div>
<div class="details"><span>probability ${escapeXml(percent(object.probability))}</span><span>reference ${figure(
    object.reference,
  )}</span></div>
</li>`
}

function picture(file: string, caption: string, alt: string, width: number, height: number): string {
  return `<figure><a href="${escapeXml(file)}"><img src="${escapeXml(file)}" width="${width}" height="${height}" alt="${escapeXml(
    alt,
  )}"></a><figcaption>${caption}</figcaption></figure>`
}

function sceneCard({ scene, objects }: DemoResult): string {
  const { name, labels, image } = scene
  const words = labels.join(', ')
  const show = (end: string, caption: string, alt: string) =>
    picture(`${name}${end}.png`, caption, alt, image.width, image.height)
  return `<article id="${escapeXml(name)}">
<h2><span class="prompt">${labels.map((label) => `<code>${escapeXml(label)}</code>`).join(' ')}</span><a
 href="#${escapeXml(name)}">${escapeXml(name)}</a></h2>
<div class="content">
<div class="pictures">
${show('', 'Picture', `Scene with ${words}`)}
${show('_truth', 'Ground truth', `True outlines of ${words}`)}
${show('_overlay', 'Found by words', `Masks found for ${words}`)}
</div>
<ul class="objects">
${objects.map(objectItem).join('\n')}
</ul>
</div>
</article>`
}

/** The page of a demo's results, next to its pictures. Static: no script, nothing from elsewhere. */
export function demoPage(results: readonly DemoResult[], model: ModelInfo): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>clip-es demo: words in, masks out</title>
<link rel="icon" href="data:,">
<style>${pageStyle}</style>
</head>
<body>
${header(results, model)}
<main>
<p class="key"><span><i class="key-fill"></i>IoU: overlap of mask and truth over their union</span><span><i
 class="key-tick"></i>IoU of the reference implementation</span></p>
${results.map(sceneCard).join('\n')}
</main>
<footer>
<p>Masks are <code>NAME_mask.png</code>: palette PNGs whose value is 0 for background and the class's number, counted from 1, elsewhere.
Probabilities are of the softmax over the scene's words and all background words; they sum to less than one, and a small one may still
draw a good mask, since every map is scaled to its own maximum.</p>
<p>Method: <a href="https://arxiv.org/abs/2212.09506">CLIP is Also an Efficient Segmenter</a> (CLIP-ES, 2022). The scenes contain <a
 href="https://github.com/jdecked/twemoji">Twemoji</a> graphics by Twitter, Inc and other contributors (<a
 href="https://creativecommons.org/licenses/by/4.0/">CC-BY-4.0</a>), resized, recoloured, rotated, warped and composed on procedural
backgrounds.</p>
</footer>
</body>
</html>
`
}
