package api

import (
	"mime"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types"
)

// lineType is the content type of a stream of JSON values: the one of those
// made for it that the Accept header names with the highest weight. Wildcards
// do not choose one, so that plain clients keep getting what Docker always sent.
func lineType(r *Request) string {
	best, weight := types.MediaTypeJSON, 0.0
	for part := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if s, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(s, 64); err != nil {
				continue
			}
		}
		switch media {
		case types.MediaTypeNDJSON, types.MediaTypeJSONSequence, types.MediaTypeJSONLines, types.MediaTypeJSON:
			if q > weight {
				best, weight = media, q
			}
		}
	}
	return best
}
