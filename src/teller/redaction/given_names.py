"""Given names that are nothing else: no word, no place, no product.

They are taken out where a caller may say who it is. `values.names` has the commonest; these are more of those given in
Britain, Europe, Africa and Asia, as they are written in plain letters.
"""

from __future__ import annotations

from teller.values.names import is_given_name
from teller.values.reading import Item, word_set

MORE_GIVEN_NAMES = word_set(
    "aaliyah aditi aditya agnes agnieszka aidan aileen akira akua alasdair albert alejandro aleksander aleksandra "
    "alessandro alfie alfred ali alina alisha alistair alma althea alvaro amara ameera amelie amir amira amit amrit "
    "anastasia anders andre andreea andrei andrej angus anil anita anjali annabel annette anselm antoine antonia "
    "anya archie aria ariana arjun arnav arthur arun asha ashok astrid audrey ayesha ayo ayodele babatunde bartosz "
    "beatrice beatrix benedict bernadette bernard bethany bianca bilal birgit bogdan boris brenda bridget bronagh "
    "bronwen bruno bryony caitlin callum calum camilla carla carmen carole caspar cassandra cecilia celine chiara "
    "chidi chinedu chinonso christelle chukwuemeka ciara ciaran claudia clement clive colin conor cornelia cristina "
    "cyril dafydd damian daniela danielle daria darius darren deepa deepak deirdre delphine denise dennis derek "
    "desmond devi dimitri dinesh divya dmitri dominic dominik dorota dorothy duncan eduardo edwin efua eileen "
    "eilidh elaine elias elif elisa ellen ellie elodie eloise elsie elspeth emanuele emeka emil emilia emmanuel "
    "emre enrique enzo ernest esme esther eugene eun eunice evelyn ewan fabian faisal farah farhan fatma felicity "
    "felix femi fergus fernando filip finlay fintan florian folake francois frederick freya gabriel gabriela gavin "
    "gemma genevieve geoff geoffrey gerald gerard gertrude gianluca gillian giorgio giovanni giulia giuseppe gloria "
    "gordon greta guillaume gurpreet gustav gwen gwendolyn hamza hanna hans harpreet harriet haruki harvey hasan "
    "hayley heidi heinrich helena henrik hilary hiroshi hugo humphrey hussein ibtisam ifeoma ignacio igor imogen "
    "imran ines ingrid irene irina isaac isabel isabelle isha ishaan isla ismail ivan iwona jacqueline jacques "
    "jagdeep jamal janice janine jaspreet javier jawad jeanette jeremiah jerome jerzy jia jill jin joanne joaquin "
    "jocelyn johan johanna johannes jolanta jonas joost jorge josephine josh joyce julian juliana julien juliette "
    "jurgen kamal kamil karim karin karolina kasia katarzyna katya kavita kayleigh kazimierz keira kemi kenji kerry "
    "khadija khalid kieran kimberly kiran klaus kofi krishna krystyna krzysztof kumar kwame kyle lakshmi lamar lars "
    "latoya lauri lawrence leila lena leon leonard leonardo leroy lesley leticia lidia liesl lionel liu lorenzo "
    "lorna lorraine louis luca lucia luisa lukas lukasz lydia lynne maciej maddie magda magdalena magnus maisie "
    "malcolm malgorzata mandeep manuel marcel marcin marco marcus margarita mariana marianne marius marjorie marta "
    "martina mateusz mathieu matteo matthias maureen maurice mauricio mavis meera megha mei melanie michal mihai "
    "mikhail mildred milena millicent mina minh miriam mitchell mohamed mohammad moira molly monika morag moses "
    "mustafa myra nadia naomi narayan natalia natasha navneet neha nell ngozi nia niall niamh nicolas nigel nikhil "
    "nikolai nina nkechi noor nora norman obinna odette olga olu olumide oluwaseun omolara oonagh orla otto pablo "
    "padraig parminder pascal patrice pauline pavel pawel peggy penelope petra philippa philippe phoebe phyllis "
    "pierre piotr pooja prakash preeti przemyslaw quentin rafael rahul raj rajesh rajiv ramesh rania rasheed rashid "
    "raymond razia rebekah reginald renata rhiannon rhys ricardo riccardo ritu roberta roberto rodrigo roland "
    "ronald rosalind roshni rosie roxanne rupert ruslan sabina sabrina sadia saeed safiya salim sally salma samir "
    "samira sandeep sanjeev santosh saoirse sasha saskia satoshi sebastian seema serena sergei sergio seth shabana "
    "shahid shane shanice sharmila shauna sheila shirley shreya shu sibusiso sigrid silvia simone sinead siobhan "
    "sita soren stanislav stefan stella stephane stewart subhash suleiman sunil sunita suresh suzanne sven svetlana "
    "swati sylvia tabitha tamara tamsin tanya tariq tasneem tatiana terence thabo thandi theo theodore theresa thi "
    "tobias toby tomas tomasz tracy trevor tristan tunde uche ugo umar ursula usha valentina valeria valerie vera "
    "veronica vijay vikram viktor vincent vishal vivek vivian vladimir wanjiru wayne wendell wilfred wilhelm "
    "winifred winston wojciech xavier ximena xiu yan yannick yasmin yetunde yolanda yosef yuki yuri yusra yves "
    "yvette yvonne zachary zahra zainab zara zbigniew zeynep zofia zoltan zuzanna"
)


def is_name(item: Item) -> bool:
    """Whether a word is a known given name, of those in `values.names` or of these."""
    return item.text in MORE_GIVEN_NAMES or is_given_name(item)
