// What clip-es reads in a labelling configuration of Label Studio.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readLabelConfig } from '../../server/src/protocols/label_studio/label_config.js'

const view = (...lines: string[]): string => `<View>${lines.join('')}</View>`
const image = '<Image name="image" value="$image" zoom="true"/>'
const brush = (attributes = '', labels = '<Label value="cat"/>') =>
  `<BrushLabels name="tag" toName="image"${attributes}>${labels}</BrushLabels>`

test('tags for brushes, polygons and rectangles, also nested ones; other tags do not matter', () => {
  const config = `<?xml version="1.0"?>
    <!-- of a template of Label Studio -->
    <View>
      <Style>.a > b { color: red }</Style>
      <Header value="Select &quot;label&quot;"/>
      <Image name="img" value="$photo.url"/>
      <KeyPointLabels name="kp" toName="img" smart="true"><Label value="dog"/></KeyPointLabels>
      <View style="display: flex"><BrushLabels name="mask" toName="img">
        <View><Label value="Cat &amp; dog" background="#FF0000"/></View><Label value="tree" hotkey="t"/>
      </BrushLabels></View>
      <RectangleLabels name="box" toName="img,other" model_regions="true"><Label value="bus"/></RectangleLabels>
      <PolygonLabels name="outline" toName="img" model_skip="true"><Label value="bus"/></PolygonLabels>
      <Choices name="choice" toName="img"><Choice value="good"/></Choices>
    </View>`
  assert.equal(readLabelConfig(config), [
    {
      tool: { tool: 'brush', regions: false, fromName: 'mask', toName: 'img' },
      photoKey: 'photo.url',
      classes: [
        { name: 'Cat & dog', synonyms: ['Cat & dog'] },
        { name: 'tree', synonyms: ['tree'] },
      ],
      texts: {},
    },
    {
      tool: { tool: 'rectangle', regions: true, fromName: 'box', toName: 'img' },
      photoKey: 'photo.url',
      classes: [{ name: 'bus', synonyms: ['bus'] }],
      texts: {},
    },
  ])
})

test('predicted_values are the words to look for; an alias is what results are called', () => {
  const labels = '<Label value="Vehicle" alias="v" predicted_values="car, truck,,bus"/><Label value="Cat" predicted_values=" "/>'
  assert.equal(readLabelConfig(view(image, brush('', labels)))[0]?.classes, [
    { name: 'v', synonyms: ['car', 'truck', 'bus'] },
    { name: 'Cat', synonyms: ['Cat'] },
  ])
})

test('attributes that begin with model_ are options of the library', () => {
  const attributes =
    ' model_crf="true" model_label_threshold="0.3" model_background="wall,floor" model_template="a {}." opacity="0.5"'
  const [control] = readLabelConfig(view(image, brush(attributes)))
  assert.equal(control?.texts, { crf: 'true', labelThreshold: '0.3', background: 'wall,floor', template: 'a {}.' })
})

const wrong: [what: string, config: unknown, message: string | RegExp][] = [
  ['none', undefined, 'the labelling configuration is undefined; expected the XML'],
  ['not XML', '<View><Image></View>', 'is not XML ('],
  ['an empty text', '', 'is not XML ('],
  ['an entity of its own', '<!DOCTYPE a [<!ENTITY b "bb">]><View><Header value="&b;"/></View>', 'is not XML ('],
  [
    'no tag',
    '<View></View>',
    'has no tag BrushLabels, PolygonLabels or RectangleLabels; add one for an Image, such as <BrushLabels',
  ],
  [
    'only other tags',
    view(image, '<KeyPointLabels name="a" toName="image"><Label value="b"/></KeyPointLabels>'),
    'has no tag BrushLabels',
  ],
  [
    'no image',
    view('<Text name="image" value="$text"/>', brush()),
    '<BrushLabels name="tag"> has toName="image"; expected the name of an Image: there is none',
  ],
  [
    'another image',
    view('<Image name="photo" value="$photo"/>', brush()),
    `toName="image"; expected the name of an Image: 'photo'`,
  ],
  ['no name', view(image, '<BrushLabels toName="image"><Label value="a"/></BrushLabels>'), '<BrushLabels name=""> has no name'],
  ['no label', view(image, brush('', '')), '<BrushLabels name="tag"> has no Label; add what to look for'],
  ['a label without a value', view(image, brush('', '<Label background="red"/>')), 'has a Label without a value'],
  [
    'an address instead of a value',
    view('<Image name="image" value="https://example.org/a.jpg"/>', brush()),
    'expected a value of the task',
  ],
  [
    'an unknown option',
    view(image, brush(' model_lable_threshold="1"')),
    "attribute 'model_lable_threshold'; did you mean 'model_label_threshold'?",
  ],
]
for (const [what, config, message] of wrong)
  test(`a wrong configuration: ${what}`, () => {
    let error: unknown
    try {
      readLabelConfig(config)
    } catch (thrown) {
      error = thrown
    }
    assert.is((error as { code?: string })?.code, 'ERR_INVALID_ARG')
    assert.match((error as Error).message, message)
  })

test.run()
