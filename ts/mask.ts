/** The value of ignored pixels: in a mask those of low confidence, in VOC's ground truth the borders of objects. */
export const ignored = 255
