"""Pairs of singular and plural, and pairs that only look so, of six languages; from their grammars.

The first lists were there while the rules were made, the second ones were written afterwards; a few
words that they showed to be no plurals are in plurals.json since. Letters are normalised: ß is ss.
"""

PAIRS = {
    "en": """
    airplane-airplanes city-cities desert-deserts glass-glasses sunflower-sunflowers bus-buses
    box-boxes beach-beaches church-churches dish-dishes fox-foxes butterfly-butterflies
    cherry-cherries baby-babies puppy-puppies tomato-tomatoes potato-potatoes hero-heroes
    wolf-wolves knife-knives leaf-leaves woman-women fireman-firemen child-children foot-feet
    mouse-mice goose-geese shoe-shoes boat-boats selfie-selfies taxi-taxis menu-menus car-cars
    tattoo-tattoos goldenretriever-goldenretrievers bridge-bridges mountain-mountains
    kitten-kittens cupcake-cupcakes man-men photo-photos eye-eyes lens-lenses friend-friends
    rose-roses""",
    "es": """
    foto-fotos gato-gatos montaña-montañas flor-flores ciudad-ciudades luz-luces pez-peces
    canción-canciones avión-aviones árbol-árboles isla-islas playa-playas coche-coches mes-meses
    país-países mujer-mujeres joven-jóvenes imagen-imágenes ratón-ratones papel-papeles mesa-mesas
    autobús-autobuses estrella-estrellas barco-barcos viaje-viajes camión-camiones""",
    "de": """
    blume-blumen katze-katzen strasse-strassen hund-hunde berg-berge tag-tage auto-autos
    kind-kinder bild-bilder haus-häuser wald-wälder baum-bäume stadt-städte vogel-vögel
    apfel-äpfel frau-frauen wolke-wolken insel-inseln schwester-schwestern lehrerin-lehrerinnen
    foto-fotos buch-bücher rose-rosen freund-freunde zeit-zeiten sonnenblume-sonnenblumen
    schiff-schiffe kirche-kirchen brücke-brücken see-seen farbe-farben wiese-wiesen""",
    "fr": """
    chat-chats cheval-chevaux chien-chiens fleur-fleurs bateau-bateaux oiseau-oiseaux jeu-jeux
    journal-journaux animal-animaux bijou-bijoux gâteau-gâteaux voiture-voitures maison-maisons
    arbre-arbres montagne-montagnes plage-plages ville-villes chou-choux travail-travaux
    livre-livres enfant-enfants nuage-nuages château-châteaux cheveu-cheveux photo-photos
    étoile-étoiles femme-femmes""",
    "pt": """
    cidade-cidades gato-gatos flor-flores avião-aviões pão-pães mão-mãos animal-animais
    papel-papéis hotel-hotéis lençol-lençóis azul-azuis barril-barris homem-homens imagem-imagens
    jardim-jardins mulher-mulheres luz-luzes mês-meses país-países praia-praias montanha-montanhas
    coração-corações cachorro-cachorros árvore-árvores viagem-viagens ilha-ilhas nuvem-nuvens
    carro-carros""",
    "it": """
    gatto-gatti cane-cani casa-case fiore-fiori amico-amici parco-parchi lago-laghi
    montagna-montagne spiaggia-spiagge artista-artisti viaggio-viaggi negozio-negozi amica-amiche
    arancia-arance libro-libri stella-stelle donna-donne albero-alberi uccello-uccelli
    cavallo-cavalli mano-mani mare-mari problema-problemi isola-isole ragazza-ragazze
    nuvola-nuvole scarpa-scarpe colore-colori bacio-baci""",
}

NO_PAIRS = {
    "en": """
    new-news glas-glass bu-bus pari-paris texa-texas specie-species serie-series len-lens
    pant-pants bos-boss virus-viru iri-iris thi-this atla-atlas canva-canvas christma-christmas
    kansa-kansas vega-vegas plu-plus ga-gas ha-has wa-was tenni-tennis cactu-cactus good-goods
    custom-customs mar-mars jame-james chao-chaos alway-always clothe-clothes mean-means arm-arms
    mas-masses circu-circus data-date rosa-rose adida-adidas villa-ville luna-lune roma-rome
    thank-thanks physic-physics brussel-brussels""",
    "es": """
    mes-mesas me-mes dio-dios graci-gracias lune-lunes marte-martes ante-antes paí-país
    crisi-crisis viru-virus adio-adios lejo-lejos meno-menos mientra-mientras vierne-viernes
    atla-atlas tre-tres carlo-carlos luca-lucas interé-interés autobú-autobús despué-después
    paraguá-paraguas jueve-jueves tesi-tesis inglé-inglés""",
    "de": """
    reis-reise lieb-liebe end-ende wärm-wärme warm-wärme spiel-spieler arbeit-arbeiter
    fisch-fischer tanz-tänzer mal-maler lebe-leben laufe-laufen mache-machen sage-sagen esse-essen
    kuche-kuchen seit-seiten bitt-bitten reif-reifen gross-grosse rot-rote wald-waldes gla-glas
    hau-haus morg-morgen fahre-fahren lach-lache wage-wagen somm-sommer zimm-zimmer dies-diese""",
    "fr": """
    moi-mois foi-fois boi-bois pay-pays corp-corps cour-cours ver-vers fil-fils sen-sens bra-bras
    plu-plus souri-souris pari-paris temp-temps franç-français angla-anglais pri-prix voi-voix
    gen-gens ju-jus gri-gris sou-sous noi-noix frai-frais jamai-jamais print-printemps tapi-tapis
    heureu-heureux""",
    "pt": """
    deu-deus mal-mais doi-dois jamal-jamais depoi-depois lápi-lápis ônibu-ônibus féria-férias
    tre-três ma-mas meno-menos ant-antes atrá-atrás tên-tênis simple-simples viru-vírus
    óculo-óculos apena-apenas carlo-carlos jesu-jesus pai-país demai-demais luca-lucas
    portuguê-português vó-vós""",
    "it": """
    mara-mare sola-sole pana-pane pesca-pesce menta-mente sala-sale fina-fine corta-corte
    coloro-colori vento-venti ogg-oggi milano-milani dolca-dolce arta-arte luca-luce vita-vite
    notta-notte parta-parte amora-amore napolo-napoli quaso-quasi cana-cane francia-france
    vino-vine rosa-rossi casa-casi moda-modi pizza-pazzi porta-porti""",
}

LATER_PAIRS = {
    "en": """
    horse-horses tree-trees flower-flowers street-streets watch-watches brush-brushes
    berry-berries lady-ladies story-stories family-families car-cars girl-girls nail-nails
    cookie-cookies donut-donuts pancake-pancakes sunset-sunsets snowman-snowmen
    policeman-policemen shelf-shelves elf-elves person-people penguin-penguins elephant-elephants
    skyscraper-skyscrapers motorcycle-motorcycles waterfall-waterfalls bikini-bikinis kiwi-kiwis
    volcano-volcanoes mango-mangoes mosquito-mosquitoes lighthouse-lighthouses oldcar-oldcars
    weddingdress-weddingdresses""",
    "es": """
    perro-perros casa-casas amigo-amigos amiga-amigas mariposa-mariposas pájaro-pájaros
    calle-calles nube-nubes puente-puentes corazón-corazones león-leones camino-caminos
    color-colores lápiz-lápices voz-voces pared-paredes iglesia-iglesias niño-niños fiesta-fiestas
    zapato-zapatos caballo-caballos delfín-delfines tradición-tradiciones examen-exámenes""",
    "de": """
    schmetterling-schmetterlinge pferd-pferde hut-hüte nacht-nächte strand-strände fluss-flüsse
    garten-gärten glas-gläser kleid-kleider tier-tiere stern-sterne boot-boote ente-enten
    kerze-kerzen tasche-taschen lampe-lampen schuh-schuhe tisch-tische freundin-freundinnen
    party-partys handy-handys hotel-hotels erinnerung-erinnerungen burg-burgen
    sommerblume-sommerblumen tomate-tomaten kartoffel-kartoffeln""",
    "fr": """
    rue-rues île-îles cadeau-cadeaux feu-feux cheminée-cheminées ami-amis amie-amies robe-robes
    chaussure-chaussures tableau-tableaux neveu-neveux canal-canaux hôpital-hôpitaux genou-genoux
    pont-ponts lac-lacs forêt-forêts vague-vagues papillon-papillons bougie-bougies gare-gares
    église-églises jardin-jardins rivière-rivières""",
    "pt": """
    amigo-amigos amiga-amigas casa-casas estrela-estrelas peixe-peixes balão-balões leão-leões
    cão-cães limão-limões farol-faróis caracol-caracóis jornal-jornais canal-canais túnel-túneis
    viagem-viagens bombom-bombons cor-cores colher-colheres rapaz-rapazes cruz-cruzes
    pássaro-pássaros cavalo-cavalos rua-ruas festa-festas borboleta-borboletas""",
    "it": """
    amico-amici gatta-gatte ragazzo-ragazzi bambino-bambini bambina-bambine macchina-macchine
    finestra-finestre strada-strade chiesa-chiese ponte-ponti fiume-fiumi bosco-boschi
    fungo-funghi albergo-alberghi banca-banche bottega-botteghe collega-colleghe valigia-valigie
    orologio-orologi occhio-occhi specchio-specchi turista-turisti onda-onde barca-barche
    nave-navi tramonto-tramonti piatto-piatti dolce-dolci""",
}

LATER_NO_PAIRS = {
    "en": """
    gla-glass grass-gras dres-dress busines-business famou-famous delicou-delicious campu-campus
    octopu-octopus chri-chris jesu-jesus carlo-carlos alp-alps ande-andes beatle-beatles
    swis-swiss fitnes-fitness happines-happiness wellnes-wellness princes-princess actres-actress
    ala-alas oasi-oasis doe-does""",
    "es": """
    adió-adiós jesú-jesús luni-lunes cosmo-cosmos caos-cao viru-virus ant-antes dieciséi-dieciséis
    ma-mas mese-meses vece-veces lo-los ell-ellas est-estes asi-asis andre-andres""",
    "de": """
    sommer-somme winter-winte hell-helle land-landen alt-alte jung-junge sonn-sonne frisch-frische
    tief-tiefe stark-stärke kalt-kälte lang-länge hoch-höhe breit-breite süss-süsse rund-runde
    schul-schule kirsch-kirsche kauf-käufer fahr-fahrer lehr-lehrer sport-sportler koch-kochen
    tanz-tanzen spiel-spielen kauf-kaufen fisch-fischen bad-baden""",
    "fr": """
    parfoi-parfois autrefoi-autrefois maï-maïs bordeau-bordeaux doux-dou heureu-heureux
    nerveu-nerveux croi-croix pai-paix chois-choix gaulo-gaulois brebi-brebis françai-français
    mar-mars chao-chaos loup-loupx matela-matelas velour-velours parcour-parcours
    discour-discours""",
    "pt": """
    ali-alis gái-gás crei-crés luí-luís lapis-lapi tori-tóris viru-virus atla-atlas adeu-adeus
    campu-campus matheu-matheus tomá-tomás ananá-ananás cai-cais gri-gris ma-mais""",
    "it": """
    rom-roma torino-torini firenza-firenze siena-siene parma-parme caffa-caffe estata-estate
    neva-neve pella-pelle felica-felice ragazza-ragazzi gatta-gatti amore-amora cuora-cuore
    fama-fame mora-more seta-sete regala-regali pazza-pazzi nova-nove""",
}
