package request

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// Random names say something of ships and who built or sailed them.
var (
	adjectives = strings.Fields(`able agile alert amber ample awake balmy bold brave breezy bright brisk calm candid
		clear clever coastal cosy crisp daring deft drifting eager early easy even fair faithful fast fine firm fleet
		fluent fresh frosty gallant gentle glad golden good grand handy happy hardy hearty honest humble ideal jolly
		keen kind lasting lively loyal lucid lucky mellow merry mighty mild modest neat nimble noble open patient
		placid plucky polar prime proud quick quiet rapid ready robust sailing salty serene sharp shiny silent silver
		smart smooth snug solid sound spry stable starry steady still stout sturdy sunny sure swift tidal tidy
		tranquil true trusty upbeat valiant vivid warm watchful wise witty zesty`)
	nouns = strings.Fields(`amundsen anson baffin banks baret barents bass beaufort bering blackborow bligh bougainville
		brunel byng cabot cartier chichester clark cochrane colombo cook cousteau dampier darwin davis diaz drake
		earhart elcano ericson fitzroy flinders fram franklin frobisher fuchs fulton gama gilbert grenfell halley
		hanno harrison hawke henson hillary hood hudson humboldt kotzebue laperouse lovell macarthur magellan maury
		melville mercator nansen nelson nobile parry peary piccard polo ptolemy pytheas quiros ross rurik sacagawea
		scoresby scott shackleton slocum somerville speke spruance tasman torres tryon vancouver verrazano
		vespucci wallis weddell wilkes wrangel yonge zheng`)
)

// RandomName gives adjective_noun; after a few that were taken, with a digit.
func RandomName(attempt int) string {
	name := adjectives[rand.IntN(len(adjectives))] + "_" + nouns[rand.IntN(len(nouns))]
	if attempt >= 3 {
		name += strconv.Itoa(rand.IntN(10 * attempt))
	}
	return name
}

// Docker's rule for names (API reference, ContainerCreate).
const nameRule = `[a-zA-Z0-9][a-zA-Z0-9_.-]`

var validName = regexp.MustCompile(`^/?` + nameRule + `+$`)

// CheckName refuses what is no name, in Docker's words.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("Invalid container name (%s), only %s are allowed", name, nameRule))
	}
	return nil
}
