/**
 * A file of CAMs as the released code writes it: numpy.save of {"keys": array([3, 14]), "attn_highres": (arange(12).reshape(2, 2, 3) /
 * 16).astype(float16)}, by numpy 2.4.
 */
export const releasedCams = Buffer.from(
  'k05VTVBZAQB2AHsnZGVzY3InOiAnfE8nLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAqABJVOAQAAAAAAAIwWbnVtcHkuX2NvcmUubXVsdGlhcnJheZSMDF9yZWNvbnN0cnVjdJSTlIwFbnVtcHmUjAduZGFycmF5lJOUSwCFlEMBYpSHlFKUKEsBKWgDjAVkdHlwZZSTlIwCTziUiYiHlFKUKEsDjAF8lE5OTkr/////Sv////9LP3SUYoldlH2UKIwEa2V5c5RoAmgFSwCFlGgHh5RSlChLAUsChZRoC4wCaTiUiYiHlFKUKEsDjAE8lE5OTkr/////Sv////9LAHSUYolDEAMAAAAAAAAADgAAAAAAAACUdJRijAxhdHRuX2hpZ2hyZXOUaAJoBUsAhZRoB4eUUpQoSwFLAksCSwOHlGgLjAJmMpSJiIeUUpQoSwNoG05OTkr/////Sv////9LAHSUYolDGAAAACwAMAAyADQANQA2ADcAOIA4ADmAOZR0lGJ1YXSUYi4=',
  'base64',
)
